#include "moe/experts/borrow.hpp"

#include "experts/around.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/identity_bank.hpp"

namespace {

template <class T>
auto pool() {
    moe::banks bank{moe::swiglu_bank<T>{{.features = 5, .hidden = 4, .experts = 2, .bias = true}},
                    moe::identity_bank<T>{{.features = 5, .experts = 1}}};
    randomise(bank);
    return bank;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a layer with a borrowed bank gives the bits of the layer that owns it", "", every_backend) {
    using T = typename TestType::scalar;
    const auto bank = pool<T>();
    const auto router = small_router<T>(5, 3);
    const moe::layer owner{router, bank};
    const moe::layer user{router, moe::borrow(bank)};
    const auto x = moe::testing::random_matrix<T>(6, 5, 8);
    moe::batch<T> in;
    in.x = x;
    typename TestType::backend backend;
    auto a = moe::testing::train_once(backend, owner, in);
    auto b = moe::testing::train_once(backend, user, in);
    CHECK(moe::testing::same_bits(a.y, b.y));
    CHECK(moe::testing::same_bits(a.dx, b.dx));
    CHECK(moe::testing::gradient_difference(bank, std::get<1>(a.gradient), std::get<1>(b.gradient).get()) == "");
    CHECK(moe::testing::taped_equals_inference(backend, user, in) == "");
}

TEST_CASE(
    "two layers share one bank: it is not copied, both add to its one gradient, which equals central differences") {
    auto bank = pool<double>();
    auto gradient = moe::make_gradient(bank);
    const moe::layer first{small_router<double>(5, 3), moe::borrow(bank, gradient)};
    const moe::layer second{small_router<double>(5, 3, 1), moe::borrow(bank, gradient)};
    CHECK(&first.experts().bank() == &bank);
    const auto x = moe::testing::random_matrix<double>(4, 5, 8);
    const auto dy = moe::testing::random_matrix<double>(4, 5, 9);
    moe::matrix<double> middle(4, 5), y(4, 5), d_middle(4, 5), dx(4, 5);
    moe::reference backend;
    moe::tape<double> one, two;
    const auto forward = [&] {
        moe::batch<double> in;
        in.x = x;
        first.forward(backend, in, middle.view(), one);
        in.x = middle;
        second.forward(backend, in, y.view(), two);
        double loss = 0;
        for (std::size_t i = 0; i < y.size(); ++i) loss += y.data()[i] * dy.data()[i];
        return loss;
    };
    forward();
    auto g_first = first.make_gradient();
    auto g_second = second.make_gradient();
    second.backward(backend, dy.view(), two, d_middle.view(), g_second);
    first.backward(backend, d_middle.view(), one, dx.view(), g_first);
    double worst = 0;
    std::size_t checked = 0;
    moe::visit_parameters(
        [&](const moe::parameter_name&, auto& values, auto& d) {
            const auto v = moe::flat(values);
            for (std::size_t i = 0; i < v.size(); ++i) {
                const double before = v[i];
                v[i] = before + 1e-6;
                const double above = forward();
                v[i] = before - 1e-6;
                const double below = forward();
                v[i] = before;
                const double error = std::abs((above - below) / 2e-6 - moe::flat(d)[i]);
                if (!(error <= worst)) worst = error;
                ++checked;
            }
        },
        bank, gradient);
    CHECK(worst <= difference_tolerance);
    CHECK(checked > 60);
}

TEST_CASE("the layer does not show a borrowed bank's parameters") {
    const auto bank = pool<float>();
    moe::layer user{small_router<float>(5, 3), moe::borrow(bank)};
    std::string names;
    moe::visit_parameters([&](const moe::parameter_name& n, auto&) { names += n.text() + " "; }, user);
    CHECK(names == "router.0.weight router.0.bias ");
}
