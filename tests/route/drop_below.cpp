#include "moe/route/drop_below.hpp"

#include "moe/route/renormalize.hpp"
#include "route/layer_of.hpp"
#include "route/steps.hpp"

namespace {

using ids = std::vector<moe::index_t>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("drop_below keeps the laws of layers and its gradient is exact", "", every_backend) {
    check_steps<TestType>([]<class T>() { return layer_of<T>(3, moe::drop_below{.ratio = 0.7}, moe::renormalize{}); });
}

TEST_CASE("drop_below drops what is small beside the token's largest weight, or small at all") {
    const hand_routes r{{0, 3, 5}, {1, 0, 2, 0, 1}, {0.5, 0.25, 0.1, 0.04, 0.03}};
    CHECK(apply(moe::drop_below{.ratio = 0.5}, r).expert == ids{1, 0, -1, 0, 1});
    CHECK(apply(moe::drop_below{.ratio = 1}, r).expert == ids{1, -1, -1, 0, -1});
    CHECK(apply(moe::drop_below{.least = 0.04}, r).expert == ids{1, 0, 2, 0, -1});
    CHECK(apply(moe::drop_below{}, r).expert == r.expert);
}

TEST_CASE("drop_below keeps NaN and tokens without a weight above 0") {
    const double nan = std::nan("");
    CHECK(apply(moe::drop_below{.ratio = 0.9}, {{0, 2, 4}, {0, 1, 0, 1}, {nan, 0.5, -1, -2}}).expert == ids{0, 1, 0, 1});
}

TEST_CASE("drop_below names the option that is wrong") {
    CHECK_THROWS_WITH((moe::drop_below{.ratio = 2}.check(moe::batch<float>{}, 4, 4)),
                      "moe: drop_below.ratio: wanted 0 to 1, got 2.000000");
    CHECK_THROWS_AS((moe::drop_below{.least = std::nan("")}.check(moe::batch<float>{}, 4, 4)), moe::value_error);
}
