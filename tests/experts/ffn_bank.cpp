#include "moe/experts/ffn_bank.hpp"

#include "experts/around.hpp"

namespace {

template <class Activation>
auto make_bank(bool bias, moe::index_t outputs = 0) {
    return [=]<class T>(std::type_identity<T>) {
        return moe::ffn_bank<T, Activation>{
            {.features = 5, .hidden = 7, .experts = 4, .bias = bias, .seed = 2, .outputs = outputs}};
    };
}

// The formula with nothing of the library's but its weights.
template <class T, class Activation>
std::vector<double> expert_by_hand(const moe::ffn_bank<T, Activation>& bank, moe::index_t e, const T* x,
                                   double (*act)(double)) {
    const bool bias = bank.up_bias.size() != 0;
    std::vector<double> h(std::size_t(bank.hidden())), row(std::size_t(bank.outputs()));
    for (moe::index_t n = 0; n < bank.hidden(); ++n) {
        double u = bias ? double(bank.up_bias(e, n)) : 0.0;
        for (moe::index_t i = 0; i < bank.features(); ++i) u += double(x[i]) * double(bank.up(e, n, i));
        if constexpr (moe::is_gated<Activation>) {
            double g = bias ? double(bank.gate_bias(e, n)) : 0.0;
            for (moe::index_t i = 0; i < bank.features(); ++i) g += double(x[i]) * double(bank.gate(e, n, i));
            h[std::size_t(n)] = act(g) * u;
        } else {
            h[std::size_t(n)] = act(u);
        }
    }
    for (moe::index_t n = 0; n < bank.outputs(); ++n) {
        double& out = row[std::size_t(n)];
        out = bias ? double(bank.down_bias(e, n)) : 0.0;
        for (moe::index_t i = 0; i < bank.hidden(); ++i) out += h[std::size_t(i)] * double(bank.down(e, n, i));
    }
    return row;
}

template <class On, class Activation>
void check_formula(double (*act)(double), bool bias) {
    using T = typename On::scalar;
    auto layer = layer_around<T>(make_bank<Activation>(bias, 6), 2);
    const auto x = moe::testing::random_matrix<T>(3, 5, 8);
    const sent<T> all(2, {3, 0, 1, 3, 2, -1});
    const auto in = all.batch(x);
    typename On::backend backend;
    moe::arena memory;
    const auto s = layer.route(backend, in, memory);
    const auto y = moe::testing::infer(backend, layer, in);
    moe::matrix<T> wanted(3, 6);
    for (moe::index_t t = 0; t < 3; ++t) {
        for (moe::index_t slot = s.routes.begin(t); slot < s.routes.end(t); ++slot) {
            const moe::index_t e = s.routes.expert[std::size_t(slot)];
            if (e < 0) continue;
            const auto row = expert_by_hand(layer.experts(), e, x.view().row(t), act);
            for (moe::index_t n = 0; n < 6; ++n) {
                wanted(t, n) += T(double(s.routes.weight[std::size_t(slot)]) * row[std::size_t(n)]);
            }
        }
    }
    CHECK(relative_error(y.view(), wanted.view()) <= tolerance<T>::value);
}

double relu(double z) { return z > 0 ? z : 0; }
double silu(double z) { return z / (1 + std::exp(-z)); }
double gelu(double z) { return z * 0.5 * std::erfc(-z / std::sqrt(2.0)); }
double gelu_tanh(double z) {
    return 0.5 * z * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (z + 0.044715 * z * z * z)));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a feed-forward bank computes the formula of its experts", "", every_backend) {
    const bool bias = GENERATE(false, true);
    check_formula<TestType, moe::relu>(relu, bias);
    check_formula<TestType, moe::silu>(silu, bias);
    check_formula<TestType, moe::gelu>(gelu, bias);
    check_formula<TestType, moe::gelu_tanh>(gelu_tanh, bias);
    check_formula<TestType, moe::gated<moe::relu>>(relu, bias);
    check_formula<TestType, moe::gated<moe::silu>>(silu, bias);
    check_formula<TestType, moe::gated<moe::gelu>>(gelu, bias);
    check_formula<TestType, moe::gated<moe::gelu_tanh>>(gelu_tanh, bias);
}

TEMPLATE_TEST_CASE("a feed-forward bank's gradients equal central differences", "", moe::relu, moe::silu, moe::gelu,
                   moe::gelu_tanh, moe::gated<moe::relu>, moe::gated<moe::silu>, moe::gated<moe::gelu>,
                   moe::gated<moe::gelu_tanh>) {
    check_bank_gradients(make_bank<TestType>(false));
    check_bank_gradients(make_bank<TestType>(true, 3));
}

TEMPLATE_LIST_TEST_CASE("a feed-forward bank keeps the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(make_bank<moe::gelu>(true));
    check_bank_laws<TestType>(make_bank<moe::gated<moe::silu>>(false, 9));
}

TEMPLATE_LIST_TEST_CASE("an expert without rows gets a gradient of exact zeros and changes nothing", "",
                        every_backend) {
    using T = typename TestType::scalar;
    auto layer = layer_around<T>(make_bank<moe::gated<moe::silu>>(true), 2);
    const auto x = moe::testing::random_matrix<T>(3, 5, 8);
    const sent<T> all(2, {3, 0, 0, 3, 3, -1});  // nobody goes to 1 and 2
    const auto in = all.batch(x);
    typename TestType::backend backend;
    const auto before = moe::testing::infer(backend, layer, in);
    auto& bank = layer.experts();
    for (const moe::index_t idle : {1, 2}) {
        for (moe::index_t n = 0; n < 7; ++n) bank.up(idle, n, 0) = std::numeric_limits<T>::quiet_NaN();
        bank.down_bias(idle, 0) = std::numeric_limits<T>::infinity();
    }
    CHECK(moe::testing::same_bits(before, moe::testing::infer(backend, layer, in)));
    const auto trained = moe::testing::train_once(backend, layer, in);
    const auto& g = std::get<1>(trained.gradient);
    bool busy = false;
    for (moe::index_t n = 0; n < 7; ++n) {
        for (moe::index_t i = 0; i < 5; ++i) {
            for (const moe::index_t idle : {1, 2}) {
                CHECK(g.up(idle, n, i) == T(0));
                CHECK(g.gate(idle, n, i) == T(0));
                CHECK(g.down(idle, i, n) == T(0));
            }
            busy = busy || g.up(3, n, i) != T(0);
        }
        CHECK(g.up_bias(1, n) == T(0));
        CHECK(g.gate_bias(2, n) == T(0));
    }
    for (moe::index_t i = 0; i < 5; ++i) CHECK(g.down_bias(1, i) == T(0));
    CHECK(busy);
    for (const T d : trained.dx.span()) CHECK(std::isfinite(d));
}

TEMPLATE_LIST_TEST_CASE("a batch without a single route gives exact zeros forward and backward", "", every_backend) {
    using T = typename TestType::scalar;
    const auto layer = layer_around<T>(make_bank<moe::silu>(true), 2);
    const auto x = moe::testing::random_matrix<T>(3, 5, 8);
    const sent<T> all(2, {-1, -1, -1, -1, -1, -1});
    typename TestType::backend backend;
    const auto in = all.batch(x);
    auto trained = moe::testing::train_once(backend, layer, in);
    for (const T v : trained.y.span()) CHECK(v == T(0));
    for (const T v : trained.dx.span()) CHECK(v == T(0));
    for (const T v : std::get<1>(trained.gradient).up.span()) CHECK(v == T(0));
}

TEST_CASE("a bank of one expert serves every token with weight 1") {
    const auto make = []<class T>(std::type_identity<T>) {
        return moe::swiglu_bank<T>{{.features = 4, .hidden = 3, .experts = 1}};
    };
    check_bank_gradients(make, 1);
    const auto layer = layer_around<double>(make, 1);
    const auto x = moe::testing::random_matrix<double>(2, 4, 8);
    moe::batch<double> in;
    in.x = x;
    moe::reference backend;
    const auto y = moe::testing::infer(backend, layer, in);
    for (moe::index_t t = 0; t < 2; ++t) {
        const auto row = expert_by_hand(layer.experts(), 0, x.view().row(t), silu);
        for (moe::index_t n = 0; n < 4; ++n) CHECK(y(t, n) == Approx(row[std::size_t(n)]).epsilon(1e-12));
    }
}

TEST_CASE("micro-batches accumulate the gradient of the whole batch") {
    const auto layer = layer_around<double>(make_bank<moe::gated<moe::silu>>(true), 2);
    const auto x = moe::testing::random_matrix<double>(6, 5, 8);
    const auto dy = moe::testing::random_matrix<double>(6, 5, 9);
    moe::reference backend;
    auto whole = layer.make_gradient();
    auto parts = layer.make_gradient();
    moe::matrix<double> y(6, 5), dx(6, 5);
    const auto run = [&](moe::index_t first, moe::index_t count, auto& gradient) {
        moe::tape<double> tape;
        moe::batch<double> in;
        in.x = x.view().middle_rows(first, count);
        layer.forward(backend, in, y.view().middle_rows(first, count), tape);
        layer.backward(backend, dy.view().middle_rows(first, count), tape, dx.view().middle_rows(first, count),
                       gradient);
    };
    run(0, 6, whole);
    run(0, 2, parts);
    run(2, 4, parts);
    const auto& a = std::get<1>(whole).down;
    const auto& b = std::get<1>(parts).down;
    for (std::size_t i = 0; i < a.span().size(); ++i) CHECK(a.span()[i] == Approx(b.span()[i]).margin(1e-13));
}

TEST_CASE("a feed-forward bank refuses sizes below 1 by name") {
    using bank = moe::swiglu_bank<float>;
    CHECK_THROWS_WITH(bank({.features = 0, .hidden = 1, .experts = 1}), "moe: bank.features: wanted at least 1, got 0");
    CHECK_THROWS_WITH(bank({.features = 1, .hidden = -2, .experts = 1}), "moe: bank.hidden: wanted at least 1, got -2");
    CHECK_THROWS_WITH(bank({.features = 1, .hidden = 1}), "moe: bank.experts: wanted at least 1, got 0");
    CHECK_THROWS_WITH(bank({.features = 1, .hidden = 1, .experts = 1, .outputs = -1}),
                      "moe: bank.outputs: wanted at least 0 (0: as features), got -1");
}
