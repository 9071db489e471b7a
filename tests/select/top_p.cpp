#include "moe/select/top_p.hpp"

#include <cmath>

#include "select/hand.hpp"

namespace {

template <class T>
ids taken(const moe::top_p& selector, std::initializer_list<T> keys) {
    moe::matrix<T> m(1, static_cast<moe::index_t>(keys.size()));
    std::copy(keys.begin(), keys.end(), m.data());
    moe::reference backend;
    return moe::testing::choose(backend, selector, moe::batch<T>{}, m).expert;
}

}  // namespace

TEMPLATE_TEST_CASE("top_p takes the smallest set of best experts that reaches p", "", float, double) {
    using T = TestType;
    CHECK(taken<T>({.p = 0.4}, {T(0.5), T(0.3), T(0.2)}) == ids{0});
    CHECK(taken<T>({.p = 0.5}, {T(0.25), T(0.5), T(0.25)}) == ids{1});
    CHECK(taken<T>({.p = 0.75}, {T(0.25), T(0.5), T(0.25)}) == ids{1, 0});
    CHECK(taken<T>({.p = 0.76}, {T(0.25), T(0.5), T(0.25)}) == ids{1, 0, 2});
    CHECK(taken<T>({.p = 2.0}, {T(0.25), T(0.5), T(0.25)}) == ids{1, 0, 2});
}

TEST_CASE("top_p with exceed goes on until the sum is above p") {
    CHECK(taken<double>({.p = 0.5, .exceed = true}, {0.25, 0.5, 0.25}) == ids{1, 0});
    CHECK(taken<double>({.p = 0.49, .exceed = true}, {0.25, 0.5, 0.25}) == ids{1});
}

TEST_CASE("top_p leaves the crossing expert out where asked, but never below the minimum") {
    const moe::top_p exclude{.p = 0.75, .include_crossing = false};
    CHECK(taken<double>(exclude, {0.5, 0.25, 0.25}) == ids{0, 1});
    CHECK(taken<double>(exclude, {0.5, 0.3, 0.2}) == ids{0});
    CHECK(taken<double>(exclude, {0.9, 0.1}) == ids{0});
    CHECK(taken<double>({.p = 0.75, .include_crossing = false, .min_experts = 0}, {0.9, 0.1}) == ids{});
    CHECK(taken<double>({.p = 0.75, .include_crossing = false, .min_experts = 2}, {0.9, 0.06, 0.04}) == ids{0, 1});
}

TEST_CASE("top_p has enough for good, whatever negative keys behind do to the sum") {
    CHECK(taken<double>({.p = 0.5, .min_experts = 2}, {0.6, -0.2, -0.3}) == ids{0, 1});
    CHECK(taken<double>({.p = 0.5, .include_crossing = false, .min_experts = 2}, {0.6, -0.2, -0.3}) == ids{0, 1});
}

TEST_CASE("top_p keeps to its least and largest number of experts") {
    CHECK(taken<double>({.p = 0.1, .min_experts = 2}, {0.5, 0.3, 0.2}) == ids{0, 1});
    CHECK(taken<double>({.p = 1.0, .max_experts = 2}, {0.5, 0.3, 0.2}) == ids{0, 1});
    const double inf = std::numeric_limits<double>::infinity();
    CHECK(taken<double>({.p = 1.0, .min_experts = 3}, {0.5, -inf, 0.2}) == ids{0, 2});
}

TEST_CASE("top_p takes the most experts from the call where the batch has k") {
    moe::reference backend;
    const moe::matrix<double> keys = keys_of<double>(moe::testing::score_kind::uniform, 3, 5);
    moe::batch<double> in;
    in.k = 2;
    CHECK(moe::testing::choose(backend, moe::top_p{.p = 9}, in, keys).offset == ids{0, 2, 4, 6});
}

TEST_CASE("top_p goes through all experts once a NaN stands in the sum") {
    const double nan = std::nan("");
    CHECK(taken<double>({.p = 0.9}, {nan, 0.3, nan, 0.4}) == ids{3, 1, 0, 2});
    CHECK(taken<double>({.p = 0.6}, {nan, 0.3, nan, 0.4}) == ids{3, 1});
    CHECK(taken<double>({.p = 0.9, .include_crossing = false}, {nan, 0.3, 0.4}) == ids{2, 1});
    CHECK(taken<double>({.p = std::numeric_limits<double>::infinity()}, {nan, nan}) == ids{0, 1});
}

TEST_CASE("top_p gives masked tokens no slots") {
    moe::reference backend;
    const moe::matrix<float> keys = keys_of<float>(moe::testing::score_kind::uniform, 4, 3);
    const std::uint8_t mask[4] = {1, 0, 1, 0};
    moe::batch<float> in;
    in.mask = mask;
    CHECK(moe::testing::choose(backend, moe::top_p{.p = 0.4}, in, keys).offset == ids{0, 2, 2, 4, 4});
}

TEST_CASE("top_p names the option that is wrong") {
    const moe::batch<float> in;
    CHECK_THROWS_WITH((moe::top_p{.p = -0.5}.check(in, 4, 4)), "moe: top_p.p: wanted at least 0, got -0.500000");
    CHECK_THROWS_AS((moe::top_p{.p = std::nan("")}.check(in, 4, 4)), moe::value_error);
    CHECK_THROWS_WITH((moe::top_p{.min_experts = 5}.check(in, 4, 4)), "moe: top_p.min_experts: wanted 0 to 4, got 5");
    CHECK_THROWS_WITH((moe::top_p{.min_experts = 3, .max_experts = 2}.check(in, 4, 4)),
                      "moe: top_p.max_experts: wanted 3 to 4, got 2");
    moe::batch<float> call;
    call.k = 5;
    CHECK_THROWS_WITH((moe::top_p{}.check(call, 4, 4)), "moe: batch.k (the most top_p takes): wanted 1 to 4, got 5");
}
