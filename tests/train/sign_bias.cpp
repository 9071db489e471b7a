#include "moe/train/sign_bias.hpp"

#include "moe/moe.hpp"
#include "moe/testing/random.hpp"
#include "support/catch.hpp"

namespace {

std::vector<float> after(moe::sign_bias controller, std::vector<double> load, std::vector<float> bias = {}) {
    if (bias.empty()) bias.assign(load.size(), 0.0f);
    controller.update(std::span<float>(bias), std::span<const double>(load));
    return bias;
}

}  // namespace

TEST_CASE("the sign bias rises for idle experts and falls for busy ones, by the rate") {
    CHECK(after({.rate = 0.5}, {6, 2}) == std::vector<float>{-0.5f, 0.5f});
    CHECK(after({.rate = 0.5}, {3, 1, 2}) == std::vector<float>{-0.5f, 0.5f, 0.0f});
    CHECK(after({.rate = 0.5}, {2, 2, 2}) == std::vector<float>{0.0f, 0.0f, 0.0f});
    CHECK(after({.rate = 0.5}, {0, 0}) == std::vector<float>{0.0f, 0.0f});
    CHECK(after({.rate = 0.5}, {4}) == std::vector<float>{0.0f});
}

TEST_CASE("the proportional rule moves by the distance from the mean and keeps the sum") {
    CHECK(after({.rate = 0.5, .rule = moe::bias_rule::proportional}, {6, 2}) == std::vector<float>{-1.0f, 1.0f});
    const auto bias = after({.rate = 0.25, .rule = moe::bias_rule::proportional}, {5, 1, 0, 2}, {1, 2, 3, 4});
    CHECK(bias[0] + bias[1] + bias[2] + bias[3] == 10.0f);
}

TEST_CASE("the bias can concentrate, decay and be recentred") {
    const auto concentrate = moe::bias_direction::concentrate;
    CHECK(after({.rate = 0.5, .direction = concentrate}, {3, 1, 2}) == std::vector<float>{0.5f, -0.5f, 0.0f});
    CHECK(after({.rate = 0.5, .decay = moe::bias_decay::inverse, .updates = 3}, {6, 2})[1] == 0.125f);
    CHECK(after({.rate = 0.5, .decay = moe::bias_decay::inverse_square_root, .updates = 3}, {6, 2})[1] == 0.25f);
    CHECK(after({.rate = 0.5, .recentre = true}, {6, 1, 1, 0}) == std::vector<float>{-0.75f, 0.25f, 0.25f, 0.25f});
    moe::sign_bias counting{.rate = 1.0, .decay = moe::bias_decay::inverse};
    std::vector<float> bias(2, 0.0f);
    const std::vector<double> load{3, 1};
    for (int i = 0; i < 3; ++i) counting.update(std::span<float>(bias), std::span<const double>(load));
    CHECK(counting.updates == 3);
    CHECK(bias[1] == Approx(1.0 + 0.5 + 1.0 / 3));
}

TEST_CASE("the sign bias evens out the load of a layer that prefers one expert") {
    moe::layer layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4, .bias = true}}, moe::sigmoid{},
                                 moe::selection_bias{4}, moe::top_k{.k = 1}},
                     moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    layer.router().step<0>().bias(0, 2) = 1.0f;
    const auto x = moe::testing::random_matrix<float>(256, 4, 1);
    moe::reference b;
    moe::batch<float> in;
    in.x = x;
    moe::tape<float> tape;
    moe::matrix<float> y(256, 4);
    moe::sign_bias controller{.rate = 0.01};
    moe::index_t busiest = 0;
    for (int step = 0; step < 200; ++step) {
        layer.forward(b, in, y.view(), tape);
        busiest = 0;
        for (moe::index_t e = 0; e < 4; ++e) busiest = std::max(busiest, tape.plan().count(e));
        if (step == 0) CHECK(busiest > 120);
        controller.update(moe::get<moe::selection_bias>(layer).bias, tape.plan());
    }
    CHECK(busiest < 80);
}

TEST_CASE("the sign bias takes counts of a global batch") {
    moe::selection_bias step(2);
    moe::route_counts counts(2);
    const std::vector<double> other{6, 2};
    counts.add({.count = other, .slots = 8, .tokens = 8});
    moe::sign_bias{.rate = 0.5}.update(step.bias, counts.load());
    CHECK(step.bias[0] == -0.5f);
    CHECK(step.bias[1] == 0.5f);
}

TEST_CASE("the sign bias refuses a wrong rate and a load of another size, and changes nothing") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(after({.rate = nan}, {1, 2}), "moe: sign_bias.rate: wanted at least 0, got nan");
    CHECK_THROWS_WITH(after({.rate = -1}, {1, 2}), "moe: sign_bias.rate: wanted at least 0, got -1.000000");
    CHECK_THROWS_WITH(after({}, {1, 2}, {0, 0, 0}), "moe: sign_bias: bias: wanted [2], got [3]");
}
