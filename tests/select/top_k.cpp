#include "moe/select/top_k.hpp"

#include "select/hand.hpp"

namespace {

template <class T>
moe::matrix<T> row(std::initializer_list<T> keys) {
    moe::matrix<T> m(1, static_cast<moe::index_t>(keys.size()));
    std::copy(keys.begin(), keys.end(), m.data());
    return m;
}

template <class T>
std::vector<moe::index_t> best(const moe::matrix<T>& keys, moe::index_t k) {
    moe::reference backend;
    return moe::testing::choose(backend, moe::top_k{.k = k}, moe::batch<T>{}, keys).expert;
}

}  // namespace

TEMPLATE_TEST_CASE("top_k gives ties to the lower expert and lists the best first", "", float, double) {
    using T = TestType;
    CHECK(best(row<T>({0, 0, 0, 0}), 3) == ids{0, 1, 2});
    CHECK(best(row<T>({1, 3, 2, 3}), 3) == ids{1, 3, 2});
    CHECK(best(row<T>({T(-0.0), T(0.0)}), 1) == ids{0});
}

TEMPLATE_TEST_CASE("top_k ranks NaN after every finite key and never takes -inf", "", float, double) {
    using T = TestType;
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    constexpr T inf = std::numeric_limits<T>::infinity();
    CHECK(best(row<T>({nan, -1e30f, inf, nan}), 4) == ids{2, 1, 0, 3});
    CHECK(best(row<T>({nan, -inf, 1, -inf}), 3) == ids{2, 0, -1});
    CHECK(best(row<T>({-inf, -inf}), 2) == ids{-1, -1});
    CHECK(best(row<T>({nan, nan, nan}), 2) == ids{0, 1});
}

TEST_CASE("top_k takes k from the call where the batch has one") {
    moe::reference backend;
    const moe::matrix<float> keys = row<float>({1, 3, 2});
    moe::batch<float> in;
    in.k = 3;
    CHECK(moe::testing::choose(backend, moe::top_k{.k = 1}, in, keys).expert == ids{1, 2, 0});
    ids longer = moe::testing::choose(backend, moe::top_k{.k = 2}, moe::batch<float>{}, keys).expert;
    CHECK(longer == ids{1, 2});
}

TEST_CASE("top_k takes the same experts as a stable sort of any bit patterns") {
    for (int kind = 0; kind < moe::testing::score_kinds; ++kind) {
        const moe::matrix<float> keys = keys_of<float>(moe::testing::score_kind(kind), 50, 9);
        moe::reference backend;
        const auto c = moe::testing::choose(backend, moe::top_k{.k = 4}, moe::batch<float>{}, keys);
        for (moe::index_t t = 0; t < 50; ++t) {
            // Sorted by (class, key): class 0 keys by value, class 1 NaN; -inf left out.
            ids order;
            for (moe::index_t e = 0; e < 9; ++e) {
                if (keys(t, e) != -std::numeric_limits<float>::infinity()) order.push_back(e);
            }
            std::stable_sort(order.begin(), order.end(), [&](moe::index_t i, moe::index_t j) {
                const float a = keys(t, i);
                const float b = keys(t, j);
                if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
                return a > b;
            });
            order.resize(4, -1);
            const auto got = c.of(t);
            CHECK(ids(got.begin(), got.end()) == order);
        }
    }
}

TEST_CASE("top_k refuses a k below 1") {
    CHECK_THROWS_WITH((moe::top_k{.k = 0}.check(moe::batch<float>{}, 4, 4)), "moe: top_k.k: wanted at least 1, got 0");
}
