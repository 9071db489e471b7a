#include "moe/route/scale.hpp"

#include "moe/route/renormalize.hpp"
#include "route/layer_of.hpp"
#include "route/steps.hpp"

TEMPLATE_LIST_TEST_CASE("scale keeps the laws of layers and its gradient is exact", "", every_backend) {
    check_steps<TestType>([]<class T>() { return layer_of<T>(2, moe::renormalize{}, moe::scale{2.5f}); });
}

TEST_CASE("scale multiplies every weight") {
    const auto r = apply(moe::scale{2.5}, {{0, 2, 3}, {1, 0, -1}, {0.5, 0.25, 0.0}});
    CHECK(r.weight == std::vector<double>{1.25, 0.625, 0.0});
}

TEST_CASE("scale refuses a factor that is not finite") {
    CHECK_THROWS_WITH((moe::scale{HUGE_VAL}.check(moe::batch<float>{}, 4, 4)),
                      "moe: scale.factor: wanted a finite number, got inf");
}
