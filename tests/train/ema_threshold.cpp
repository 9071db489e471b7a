#include "moe/train/ema_threshold.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

struct scored {
    moe::matrix<double> s{2, 3};
    moe::batch<double> in;
    moe::routing<double> routing;

    scored() {
        const double v[] = {3, 2, -1, 1, 0, 0.5};
        std::copy(v, v + 6, s.data());
        in.x = s;
        routing.batch_of_call = &in;
        routing.experts = 3;
        routing.scores = s;
    }
    scored(const scored&) = delete;
};

}  // namespace

TEST_CASE("the running threshold starts at the first batch's and then moves by 1 - beta") {
    scored z;
    moe::reference b;
    float tau = 77.0f;
    moe::ema_threshold controller{.beta = 0.75};
    CHECK(controller.update(b, tau, z.routing) == 2.0);
    CHECK(tau == 2.0f);
    controller.per_token = 1.5;
    CHECK(controller.update(b, tau, z.routing) == 1.0);
    CHECK(tau == 1.75f);
    CHECK(controller.updates == 2);
}

TEST_CASE("the running threshold ranks live tokens alone and is cut to the scores there are") {
    scored z;
    moe::reference b;
    const std::vector<std::uint8_t> second{0, 1}, none{0, 0};
    double tau = 0.0;
    z.in.mask = second;
    CHECK(moe::ema_threshold{}.update(b, tau, z.routing) == 1.0);
    CHECK(moe::ema_threshold{.per_token = 2.0}.update(b, tau, z.routing) == 0.5);
    CHECK(moe::ema_threshold{.per_token = 9.0}.update(b, tau, z.routing) == 0.0);
    CHECK(moe::ema_threshold{.per_token = 0.1}.update(b, tau, z.routing) == 1.0);
    z.in.mask = none;
    tau = 4.0;
    moe::ema_threshold idle;
    CHECK(idle.update(b, tau, z.routing) == 4.0);
    CHECK(tau == 4.0);
    CHECK(idle.updates == 0);
}

TEST_CASE("the running threshold ranks NaN last") {
    scored z;
    z.s(0, 0) = std::numeric_limits<double>::quiet_NaN();
    moe::reference b;
    double tau = 0.0;
    CHECK(moe::ema_threshold{}.update(b, tau, z.routing) == 1.0);
}

TEST_CASE("the running threshold names wrong options") {
    scored z;
    moe::reference b;
    double tau = 0.0;
    CHECK_THROWS_WITH(moe::ema_threshold{.beta = 1.0}.update(b, tau, z.routing),
                      "moe: ema_threshold.beta: wanted at least 0 and below 1, got 1.000000");
    CHECK_THROWS_WITH(moe::ema_threshold{.per_token = 0.0}.update(b, tau, z.routing),
                      "moe: ema_threshold.per_token: wanted above 0, got 0.000000");
}
