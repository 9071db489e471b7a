#include "moe/select/expert_choice.hpp"

#include <cmath>
#include <numeric>

#include "moe/testing/choose.hpp"
#include "moe/testing/random.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"

namespace {

using ids = std::vector<moe::index_t>;

template <class T>
moe::testing::chosen choose(const moe::expert_choice& selector, const moe::matrix<T>& keys, moe::batch<T> in = {}) {
    moe::reference backend;
    return moe::testing::choose(backend, selector, in, keys);
}

ids loads(const moe::testing::chosen& c, moe::index_t experts) {
    ids count(std::size_t(experts), 0);
    for (const moe::index_t e : c.expert) ++count[std::size_t(e)];
    return count;
}

}  // namespace

TEMPLATE_TEST_CASE("every expert takes exactly C tokens, the best of its column", "", float, double) {
    const auto keys = moe::testing::random_matrix<TestType>(30, 7, 5);
    const auto c = choose<TestType>({.capacity_factor = 2}, keys);
    CHECK(loads(c, 7) == ids(7, 8));  // floor(2 * 30 / 7)
    for (moe::index_t e = 0; e < 7; ++e) {
        ids order(30);
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(),
                         [&](moe::index_t i, moe::index_t j) { return keys(i, e) > keys(j, e); });
        for (std::size_t i = 0; i < 30; ++i) CHECK(c.has(order[i], e) == (i < 8));
    }
}

TEST_CASE("expert_choice lists a token's experts in ascending order and gives ties to the lower token") {
    moe::matrix<float> keys(4, 3);
    std::fill(keys.data(), keys.data() + keys.size(), 1.0f);
    const auto c = choose<float>({.capacity = 2}, keys);
    CHECK(c.offset == ids{0, 3, 6, 6, 6});
    CHECK(c.expert == ids{0, 1, 2, 0, 1, 2});
}

TEST_CASE("expert_choice never takes -inf and ranks NaN last") {
    const float nan = std::nanf("");
    const float inf = std::numeric_limits<float>::infinity();
    moe::matrix<float> keys(4, 1);
    const float column[4] = {nan, -inf, -3, 2};
    std::copy(column, column + 4, keys.data());
    CHECK(choose<float>({.capacity = 2}, keys).offset == ids{0, 0, 0, 1, 2});
    CHECK(choose<float>({.capacity = 4}, keys).offset == ids{0, 1, 1, 2, 3});
}

TEST_CASE("the capacity is rounded as asked, is at least min_capacity and at most the number of tokens") {
    const auto keys = moe::testing::random_matrix<float>(10, 4, 5);
    using r = moe::rounding;
    CHECK(loads(choose<float>({}, keys), 4) == ids(4, 2));  // 10 / 4
    CHECK(loads(choose<float>({.round = r::up}, keys), 4) == ids(4, 3));
    CHECK(loads(choose<float>({.capacity_factor = 1.4, .round = r::nearest}, keys), 4) == ids(4, 4));  // 3.5 to even
    CHECK(loads(choose<float>({.capacity_factor = 1.0, .round = r::nearest}, keys), 4) == ids(4, 2));  // 2.5 to even
    CHECK(loads(choose<float>({.capacity_factor = 0.1}, keys), 4) == ids(4, 1));
    CHECK(loads(choose<float>({.capacity_factor = 0.1, .min_capacity = 0}, keys), 4) == ids(4, 0));
    CHECK(loads(choose<float>({.capacity_factor = 50}, keys), 4) == ids(4, 10));
    CHECK(loads(choose<float>({.capacity = 0}, keys), 4) == ids(4, 0));
    CHECK(loads(choose<float>({.capacity = 99}, keys), 4) == ids(4, 10));
    moe::batch<float> in;
    in.k = 2;
    CHECK(loads(choose<float>({}, keys, in), 4) == ids(4, 5));
}

TEST_CASE("masked tokens are neither taken nor counted") {
    const auto keys = moe::testing::random_matrix<float>(12, 3, 6);
    const std::uint8_t mask[12] = {1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0};
    moe::batch<float> in;
    in.mask = mask;
    const auto c = choose<float>({}, keys, in);
    CHECK(loads(c, 3) == ids(3, 2));  // 6 live tokens / 3
    moe::matrix<float> live(6, 3);
    moe::index_t n = 0;
    for (moe::index_t t = 0; t < 12; ++t) {
        if (mask[t] != 0) std::copy(&keys(t, 0), keys.view().row(t) + 3, &live(n++, 0));
    }
    const auto packed = choose<float>({}, live);
    CHECK(c.expert == packed.expert);
}

TEST_CASE("sequences do not influence one another when every sequence has its own capacity") {
    const auto keys = moe::testing::random_matrix<float>(12, 4, 7);
    const moe::index_t cut[4] = {0, 5, 5, 12};
    moe::batch<float> in;
    in.sequence = cut;
    const moe::expert_choice selector{.capacity_factor = 2, .per_sequence = true};
    const auto c = choose<float>(selector, keys, in);
    CHECK(loads(c, 4) == ids(4, 2 + 3));  // floor(10 / 4) and floor(14 / 4)
    for (const auto& [first, last] : {std::pair<moe::index_t, moe::index_t>{0, 5}, {5, 12}}) {
        moe::matrix<float> part(last - first, 4);
        for (moe::index_t t = first; t < last; ++t) {
            std::copy(&keys(t, 0), keys.view().row(t) + 4, &part(t - first, 0));
        }
        const auto alone = choose<float>(selector, part);
        for (moe::index_t t = first; t < last; ++t) CHECK(c.ids(t) == alone.ids(t - first));
    }
}

TEST_CASE("expert_choice names the option that is wrong") {
    const moe::batch<float> in;
    CHECK_THROWS_WITH((moe::expert_choice{.capacity = -1}.check(in, 4, 4)),
                      "moe: expert_choice.capacity: wanted at least 0, got -1");
    CHECK_THROWS_WITH((moe::expert_choice{.capacity_factor = -2}.check(in, 4, 4)),
                      "moe: expert_choice.capacity_factor: wanted at least 0, got -2.000000");
    CHECK_THROWS_AS((moe::expert_choice{.capacity_factor = std::nan("")}.check(in, 4, 4)), moe::value_error);
    CHECK_THROWS_AS((moe::expert_choice{.min_capacity = -1}.check(in, 4, 4)), moe::value_error);
}
