#include <thread>

#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"

namespace {

template <class T>
auto make_layer() {
    return moe::layer{
        moe::router{moe::linear_gate<T>{{.features = 21, .experts = 6, .bias = true}}, moe::gaussian_noise{.sigma = 0.3},
                    moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{}},
        moe::swiglu_bank<T>{{.features = 21, .hidden = 35, .experts = 6, .bias = true}},
        moe::shared{moe::ffn_bank<T, moe::gelu>{{.features = 21, .hidden = 9, .experts = 1}}}};
}

}  // namespace

TEMPLATE_TEST_CASE("outputs and all gradients have the same bits for any number of threads", "", float, double) {
    const auto layer = make_layer<TestType>();
    const auto x = moe::testing::random_matrix<TestType>(67, 21, 1);
    moe::batch<TestType> in;
    in.x = x;
    in.training = true;
    moe::cpu one;
    for (const moe::index_t threads : {2, 3, 8}) {
        moe::cpu many{{.threads = threads}};
        CHECK(moe::testing::same_on(one, many, layer, in) == "");
    }
}

TEST_CASE("one layer serves several threads, each with its own backend and tape") {
    const auto layer = make_layer<float>();
    const auto x = moe::testing::random_matrix<float>(33, 21, 1);
    moe::batch<float> in;
    in.x = x;
    moe::cpu alone;
    const auto wanted = moe::testing::train_once(alone, layer, in);
    std::vector<std::thread> threads;
    std::vector<int> right(4, 0);
    for (std::size_t i = 0; i < right.size(); ++i) {
        threads.emplace_back([&, i] {
            moe::cpu own{{.threads = 2}};
            for (int again = 0; again < 3; ++again) {
                const auto got = moe::testing::train_once(own, layer, in);
                right[i] += moe::testing::same_bits(got.y, wanted.y) && moe::testing::same_bits(got.dx, wanted.dx);
            }
        });
    }
    for (auto& t : threads) t.join();
    CHECK(right == std::vector<int>(4, 3));
}
