#include "moe/route/null_experts.hpp"

#include "moe/route/renormalize.hpp"
#include "route/layer_of.hpp"
#include "route/steps.hpp"

namespace {

using ids = std::vector<moe::index_t>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("null experts keep the laws of layers and their gradient is exact", "", every_backend) {
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::null_experts{.first = 4}, moe::renormalize{}); });
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::renormalize{}, moe::null_experts{.first = 2}); });
}

TEST_CASE("null_experts drops routes to the null experts and no others") {
    const auto r = apply(moe::null_experts{.first = 2}, {{0, 3, 5}, {0, 2, 1, 3, -1}, {.4, .3, .2, .1, 0}});
    CHECK(r.expert == ids{0, -1, 1, -1, -1});
    CHECK(r.weight == std::vector<double>{.4, 0, .2, 0, 0});
    CHECK(apply(moe::null_experts{.first = 8}, r).expert == r.expert);
    CHECK(apply(moe::null_experts{.first = 0}, r).expert == ids(5, -1));
}

TEST_CASE("a token that chose null experts alone has the output 0") {
    auto layer = layer_of<double>(2, moe::null_experts{.first = 0}, moe::renormalize{});
    const auto x = moe::testing::random_matrix<double>(4, 5, 2);
    moe::batch<double> in;
    in.x = x;
    moe::reference backend;
    const auto y = moe::testing::infer(backend, layer, in);
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(y.data()[i] == 0.0);
}

TEST_CASE("null_experts refuses a first expert out of range") {
    CHECK_THROWS_WITH((moe::null_experts{.first = 5}.check(moe::batch<float>{}, 4, 4)),
                      "moe: null_experts.first: wanted 0 to 4, got 5");
    CHECK_THROWS_AS((moe::null_experts{.first = -1}.check(moe::batch<float>{}, 4, 4)), moe::value_error);
}
