#include "moe/train/router_coupling.hpp"

#include "train/weights.hpp"

using moe::index_t;

namespace {

template <class B, class T>
double value(B& b, const moe::router_coupling& loss, const moe::panels<T>& r, const moe::panels<T>& g) {
    moe::panels<T> dr(1, r.outputs(), r.inputs()), dg(g.groups(), g.outputs(), g.inputs());
    return loss(b, r, g, dr, dg);
}

}  // namespace

TEST_CASE("expert-router coupling gives the catalogue's example") {
    // R = I, G_1 = (2,1), G_2 = (1,3): M = [[2,1],[1,3]].
    moe::panels<double> r(1, 2, 2), g(2, 1, 2), dr(1, 2, 2), dg(2, 1, 2);
    r(0, 0, 0) = r(0, 1, 1) = 1.0;
    g(0, 0, 0) = 2.0, g(0, 0, 1) = 1.0, g(1, 0, 0) = 1.0, g(1, 0, 1) = 3.0;
    moe::reference b;
    CHECK(moe::router_coupling{.alpha = 1.0, .noise = false}(b, r, g, dr, dg) == 0.0);
    CHECK(dg(0, 0, 0) == 0.0);
    CHECK(moe::router_coupling{.alpha = 0.4, .noise = false}(b, r, g, dr, dg) == Approx(0.1));
    // dM = [[-.2,.25],[.25,0]]: G_1 gets -.2 (proxy 1) and +.25 (proxy 2).
    CHECK(dg(0, 0, 0) == Approx(-0.2));
    CHECK(dg(0, 0, 1) == Approx(0.25));
    CHECK(dg(1, 0, 0) == Approx(0.25));
    CHECK(dg(1, 0, 1) == Approx(0.0).margin(1e-15));
    CHECK(dr(0, 0, 0) == Approx(-0.2 * 2 + 0.25 * 1));
    std::vector<double> epsilon(2);
    moe::router_coupling::spread(r, epsilon);
    CHECK(epsilon[0] == Approx(0.70710678));
    CHECK(epsilon[1] == Approx(0.70710678));
}

TEST_CASE("expert-router coupling is right by central differences where nothing is drawn") {
    moe::reference b;
    for (const double alpha : {0.0, 0.5, 1.0}) {
        const moe::router_coupling loss{.coefficient = 0.7, .alpha = alpha, .noise = false};
        auto r = weights::random_panels<double>(1, 4, 3, 1);
        auto g = weights::random_panels<double>(4, 5, 3, 2);
        moe::panels<double> dr(1, 4, 3), dg(4, 5, 3);
        loss(b, r, g, dr, dg);
        CHECK(weights::worst_difference(r, dr, [&] { return value(b, loss, r, g); }) <= difference_tolerance);
        CHECK(weights::worst_difference(g, dg, [&] { return value(b, loss, r, g); }) <= difference_tolerance);
    }
}

TEST_CASE("expert-router coupling draws within the spread of its row, anew every step, and holds the draw constant") {
    moe::reference b;
    const auto r = weights::random_panels<double>(1, 4, 3, 1);
    auto g = weights::random_panels<double>(4, 5, 3, 2);
    const moe::router_coupling loss{.alpha = 0.3, .seed = 3, .step = 7};
    CHECK(value(b, loss, r, g) == value(b, loss, r, g));
    moe::router_coupling next = loss;
    next.step = 8;
    CHECK(value(b, loss, r, g) != value(b, next, r, g));
    moe::panels<double> dr(1, 4, 3), dg(4, 5, 3);
    loss(b, r, g, dr, dg);
    CHECK(weights::worst_difference(g, dg, [&] { return value(b, loss, r, g); }) <= difference_tolerance);

    // One expert and a one-dimensional gate: proxy = delta R with |delta - 1| <= epsilon, seen through M.
    moe::panels<double> two(1, 2, 1), unit(2, 1, 1);
    two(0, 0, 0) = 1.0, two(0, 1, 0) = 2.0;
    unit(0, 0, 0) = 1.0, unit(1, 0, 0) = 0.0;
    for (std::uint64_t step = 0; step < 50; ++step) {
        // M = [[d1, 0], [d2 * 2, 0]], alpha 0: L = (M_12 + M_21 + M_21 + M_12) / 4 = M_21 / 2.
        const double m = 2 * value(b, {.alpha = 0.0, .step = step}, two, unit);
        CHECK(m >= 2.0 * 0.75);
        CHECK(m <= 2.0 * 1.25);
    }
}

TEST_CASE("expert-router coupling survives one expert, rows of zeros and answers of zero") {
    moe::reference b;
    moe::panels<double> r(1, 1, 3), g(1, 2, 3);
    r(0, 0, 0) = g(0, 0, 0) = 1.0;
    CHECK(value(b, {}, r, g) == 0.0);
    moe::panels<double> zero(1, 3, 2), experts(3, 2, 2), dr(1, 3, 2), dg(3, 2, 2);
    CHECK(moe::router_coupling{.alpha = 0.5}(b, zero, experts, dr, dg) == 0.0);
    for (const double v : dr.span()) CHECK(v == 0.0);
    for (const double v : dg.span()) CHECK(v == 0.0);
}

TEST_CASE("expert-router coupling has the same bits on every number of threads") {
    const auto r = weights::random_panels<float>(1, 12, 33, 1);
    const auto g = weights::random_panels<float>(12, 21, 33, 2);
    const moe::router_coupling loss{.alpha = 0.5};
    moe::cpu one, three{{.threads = 3}};
    moe::panels<float> dr1(1, 12, 33), dg1(12, 21, 33), dr3(1, 12, 33), dg3(12, 21, 33);
    CHECK(loss(one, r, g, dr1, dg1) == loss(three, r, g, dr3, dg3));
    for (std::size_t i = 0; i < dr1.span().size(); ++i) REQUIRE(dr1.span()[i] == dr3.span()[i]);
    for (std::size_t i = 0; i < dg1.span().size(); ++i) REQUIRE(dg1.span()[i] == dg3.span()[i]);
}

TEST_CASE("expert-router coupling names shapes that do not fit") {
    moe::reference b;
    moe::panels<double> r(1, 3, 4), g(3, 2, 4), dr(1, 3, 4), dg(3, 2, 4), wrong(1, 2, 4);
    CHECK_THROWS_WITH(moe::router_coupling{}(b, wrong, g, dr, dg),
                      "moe: router_coupling: router: wanted [1, 3, 4], got [1, 2, 4]");
    CHECK_THROWS_WITH(moe::router_coupling{}(b, r, g, wrong, dg),
                      "moe: router_coupling: gradient of the router: wanted [1, 3, 4], got [1, 2, 4]");
    CHECK_THROWS_WITH(moe::router_coupling{}(b, r, g, dr, wrong),
                      "moe: router_coupling: gradient of the experts: wanted [3, 2, 4], got [1, 2, 4]");
    CHECK_THROWS_WITH(moe::router_coupling{.alpha = -1.0}(b, r, g, dr, dg),
                      "moe: router_coupling.alpha: wanted at least 0, got -1.000000");
}
