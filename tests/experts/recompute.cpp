#include "moe/experts/recompute.hpp"

#include "experts/around.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/experts/frozen.hpp"

namespace {

template <class Activation>
const auto kept = []<class T>(std::type_identity<T>) {
    return moe::ffn_bank<T, Activation>{{.features = 5, .hidden = 70, .experts = 3, .bias = true, .seed = 4}};
};
template <class Activation>
const auto again = []<class T>(std::type_identity<T> t) { return moe::recompute{kept<Activation>(t)}; };

// What a training step leaves, and the memory of its tape.
template <class T, class Layer>
auto step(const Layer& layer, const moe::matrix<T>& x) {
    moe::cpu cpu{{.threads = 2}};
    moe::batch<T> in;
    in.x = x;
    moe::matrix<T> y(x.rows(), layer.outputs()), dx(x.rows(), x.cols());
    auto gradient = layer.make_gradient();
    moe::tape<T> tape;
    layer.forward(cpu, in, y.view(), tape);
    layer.backward(cpu, x.view(), tape, dx.view(), gradient);
    std::vector<T> all(y.span().begin(), y.span().end());
    all.insert(all.end(), dx.span().begin(), dx.span().end());
    moe::visit_parameters(
        [&](const moe::parameter_name&, const auto&, auto& g) {
            for (const T value : moe::flat(g)) all.push_back(value);
        },
        layer, gradient);
    return std::pair{all, tape.memory().peak()};
}

}  // namespace

TEST_CASE("a bank that computes its hidden values again has gradients that equal central differences") {
    check_bank_gradients(again<moe::gated<moe::silu>>);
    check_bank_gradients(again<moe::gelu>);
}

TEMPLATE_LIST_TEST_CASE("a bank that computes its hidden values again keeps the laws of layers", "", every_backend) {
    check_bank_laws<TestType>(again<moe::gated<moe::silu>>);
}

TEMPLATE_TEST_CASE("computing hidden values again changes no bit and takes their memory off the tape", "", float,
                   double) {
    using T = TestType;
    const auto x = moe::testing::random_matrix<T>(40, 5, 6);
    const auto compare = [&](const auto& make, const auto& remake, std::size_t matrices) {
        const auto [plain, plain_bytes] = step(layer_around<T>(make, 2), x);
        const auto [same, fewer_bytes] = step(layer_around<T>(remake, 2), x);
        REQUIRE(plain.size() == same.size());
        CHECK(std::memcmp(plain.data(), same.data(), plain.size() * sizeof(T)) == 0);
        const std::size_t row = (70 * sizeof(T) + 63) / 64 * 64;
        CHECK(plain_bytes - fewer_bytes >= matrices * 80 * row);
        CHECK(plain_bytes - fewer_bytes <= matrices * 80 * row + 256);
    };
    compare(kept<moe::gated<moe::silu>>, again<moe::gated<moe::silu>>, 3);
    compare(kept<moe::gelu>, again<moe::gelu>, 2);
}

TEST_CASE("a frozen bank may compute its hidden values again") {
    const auto frozen = []<class T>(std::type_identity<T> t) { return moe::frozen{kept<moe::gelu>(t)}; };
    const auto both = []<class T>(std::type_identity<T> t) { return moe::frozen{again<moe::gelu>(t)}; };
    const auto x = moe::testing::random_matrix<double>(9, 5, 6);
    CHECK(step(layer_around<double>(both, 2), x).first == step(layer_around<double>(frozen, 2), x).first);
}
