#include "layer/counting_new.hpp"
#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"

namespace {

template <class F>
int allocations_of(const F& f) {
    start_counting();
    f();
    return stop_counting();
}

template <class B>
void check_warm_calls(B& b) {
    moe::layer layer{moe::router{moe::linear_gate<float>{{.features = 5, .experts = 8}}, moe::gaussian_noise{.sigma = 0.1},
                                 moe::sigmoid{}, moe::selection_bias{8}, moe::group_limit{.groups = 4, .keep = 2},
                                 moe::top_k{.k = 2}, moe::renormalize{.epsilon = 1e-20}, moe::scale{2.5}},
                     moe::swiglu_bank<float, moe::bf16_with_masters>{
                         {.features = 5, .hidden = 7, .experts = 8, .bias = true}},
                     moe::shared{moe::swiglu_bank<float>{{.features = 5, .hidden = 7, .experts = 1}}}};
    const auto x = moe::testing::random_matrix<float>(33, 5, 1);
    const auto dy = moe::testing::random_matrix<float>(33, 5, 2);
    moe::matrix<float> y(33, 5), dx(33, 5);
    const std::vector<moe::index_t> sequence{0, 20, 33};
    std::vector<std::uint8_t> mask(33, 1);
    mask[7] = 0;
    moe::batch<float> in;
    in.x = x;
    in.mask = mask;
    in.sequence = sequence;
    in.training = true;
    moe::tape<float> tape;
    auto gradient = moe::make_gradient(layer);
    moe::adamw optimizer{{.learning_rate = 1e-3}};
    const auto infer = [&] { layer.forward(b, in, y.view()); };
    const auto train = [&] {
        layer.forward(b, in, y.view(), tape);
        moe::load_balance{.coefficient = 0.01}(b, tape);
        moe::z_loss{.coefficient = 0.01}(b, tape);
        layer.backward(b, dy.view(), tape, dx.view(), gradient);
        optimizer.step(layer, gradient);
    };
    infer();
    train();
    CHECK(allocations_of(infer) == 0);
    CHECK(allocations_of(train) == 0);
    // The returning form allocates its result and nothing else.
    CHECK(allocations_of([&] { (void)layer(b, in); }) == 1);
}

}  // namespace

TEST_CASE("the counter counts") {
    CHECK(allocations_of([] { moe::matrix<float> m(3, 3); }) == 1);
}

TEST_CASE("warm forward, losses, backward and optimiser step allocate nothing on the reference backend") {
    moe::reference b;
    check_warm_calls(b);
}

TEST_CASE("warm forward, losses, backward and optimiser step allocate nothing on the CPU backend") {
    moe::cpu b{{.threads = 2}};
    check_warm_calls(b);
}
