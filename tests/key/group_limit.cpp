#include "moe/key/group_limit.hpp"

#include "score/step_support.hpp"

namespace {

// Eight experts in four groups.
constexpr moe::group_limit two_of_four{.groups = 4, .keep = 2, .best = 2};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a group limit keeps the groups with the best sums", "", every_backend) {
    //                                            group sums 3      5      4      5
    const auto r = route_logits<TestType>({{1, 2, 5, 0, 2, 2, 3, 2}}, two_of_four);
    check_close(r.keys, {{-infinity, -infinity, 5, 0, -infinity, -infinity, 3, 2}});
    check_close(r.scores, {{1, 2, 5, 0, 2, 2, 3, 2}});
}

TEMPLATE_LIST_TEST_CASE("a group limit by the best key alone is another rule", "", every_backend) {
    const moe::group_limit by_best{.groups = 4, .keep = 1, .best = 1};
    const auto one = route_logits<TestType>({{1, 2, 5, 0, 2, 2, 3, 3}}, by_best);
    CHECK(one.expert == std::vector<moe::index_t>{2});
    check_close(one.keys, {{-infinity, -infinity, 5, 0, -infinity, -infinity, -infinity, -infinity}});
    const moe::group_limit by_two{.groups = 4, .keep = 1, .best = 2};
    const auto two = route_logits<TestType>({{1, 2, 5, 0, 2, 2, 3, 3}}, by_two);
    check_close(two.keys, {{-infinity, -infinity, -infinity, -infinity, -infinity, -infinity, 3, 3}});
}

TEMPLATE_LIST_TEST_CASE("ties between groups go to the lower group", "", every_backend) {
    const auto r = route_logits<TestType>({{1, 1, 1, 1, 1, 1, 1, 1}}, two_of_four);
    check_close(r.keys, {{1, 1, 1, 1, -infinity, -infinity, -infinity, -infinity}});
}

TEMPLATE_LIST_TEST_CASE("with negative keys a fill of 0 leaves the kept groups and -inf does not", "", every_backend) {
    // All keys are below 0, as with a negative selection bias.
    const auto limited = route_logits<TestType>({{-1, -2, -3, -4}}, moe::group_limit{.groups = 2, .keep = 1});
    CHECK(limited.expert == std::vector<moe::index_t>{0});
    check_close(limited.keys, {{-1, -2, -infinity, -infinity}});
    const auto filled = route_logits<TestType>({{-1, -2, -3, -4}}, moe::group_limit{.groups = 2, .keep = 1, .fill = 0});
    CHECK(filled.expert == std::vector<moe::index_t>{2});
    check_close(filled.keys, {{-1, -2, 0, 0}});
}

TEMPLATE_LIST_TEST_CASE("excluded experts stay excluded and do not count in a group's score", "", every_backend) {
    const moe::expert_mask mask{rows_of<std::uint8_t>({{0, 0, 0, 1, 1, 1, 1, 0}})};
    const auto r = route_logits<TestType>({{9, 9, 9, 3, 1, 1, 2, 9}}, mask,
                                          moe::group_limit{.groups = 4, .keep = 2, .best = 2, .fill = 0});
    check_close(r.keys, {{-infinity, -infinity, -infinity, 3, 1, 1, 0, -infinity}});
    const auto none = route_logits<TestType>({{9, 9, 1, 1}}, moe::expert_mask{rows_of<std::uint8_t>({{0, 0, 0, 0}})},
                                             moe::group_limit{.groups = 2, .keep = 1, .fill = 0});
    CHECK(none.expert == std::vector<moe::index_t>{-1});
}

TEMPLATE_LIST_TEST_CASE("a NaN key makes its group the last of the finite ones", "", every_backend) {
    const auto r = route_logits<TestType>({{not_a_number, 9, -5, -6}, {1, 2, 3, 4}},
                                          moe::group_limit{.groups = 2, .keep = 1});
    check_close(r.keys, {{-infinity, -infinity, -5, -6}, {-infinity, -infinity, 3, 4}});
}

TEMPLATE_LIST_TEST_CASE("one group, or all groups kept, changes nothing", "", every_backend) {
    const auto one = route_logits<TestType>({{3, 1, 2, 4}}, moe::group_limit{.groups = 1, .keep = 1});
    CHECK(moe::testing::same_bits(one.keys, one.scores));
    const auto all = route_logits<TestType>({{3, 1, 2, 4}}, moe::group_limit{.groups = 2, .keep = 2});
    CHECK(moe::testing::same_bits(all.keys, all.scores));
}

TEMPLATE_LIST_TEST_CASE("a group limit agrees with all groups tried one by one", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(40, 24, 31);
    moe::batch<T> in;
    in.x = x;
    const moe::group_limit limit{.groups = 6, .keep = 2, .best = 3};
    const auto r = route<typename TestType::backend>(moe::router{copy_gate<T>{24}, limit, moe::top_k{.k = 1}}, in);
    for (moe::index_t t = 0; t < 40; ++t) {
        std::vector<T> score(6);
        for (std::size_t g = 0; g < 6; ++g) {
            std::vector<T> keys(x.view().row(t) + 4 * g, x.view().row(t) + 4 * g + 4);
            std::sort(keys.begin(), keys.end(), std::greater<T>{});
            score[g] = keys[0] + keys[1] + keys[2];
        }
        for (std::size_t g = 0; g < 6; ++g) {
            const auto better = std::count_if(score.begin(), score.end(), [&](T s) { return s > score[g]; });
            CHECK((r.keys(t, moe::index_t(4 * g)) == -std::numeric_limits<T>::infinity()) == (better >= 2));
        }
    }
}

TEST_CASE("a group limit hides no gradient") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 23);
    moe::batch<double> in;
    in.x = x;
    check_derivatives(layer_around<double>(moe::sigmoid{}, moe::selection_bias{8}, two_of_four, moe::top_k{.k = 3}),
                      in);
}

TEMPLATE_LIST_TEST_CASE("a layer with a group limit keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 23);
    moe::batch<T> in;
    in.x = x;
    check_laws<typename TestType::backend>(layer_around<T>(moe::sigmoid{}, two_of_four, moe::top_k{.k = 3}), in);
}

TEST_CASE("a group limit refuses options that do not fit the experts") {
    const auto text = [](moe::group_limit limit) { return refused(limit); };
    CHECK(text({.groups = 3}) == "moe: group_limit.groups: wanted a divisor of 8 (experts), got 3");
    CHECK(text({.groups = 0}) == "moe: group_limit.groups: wanted a divisor of 8 (experts), got 0");
    CHECK(text({.groups = -4}) != "");
    CHECK(text({.groups = 4, .keep = 5}) == "moe: group_limit.keep: wanted 1 to 4 (groups), got 5");
    CHECK(text({.groups = 4, .keep = 0}) != "");
    CHECK(text({.groups = 4, .keep = 1, .best = 3}) ==
          "moe: group_limit.best: wanted 1 to 2 (experts of a group), got 3");
    CHECK(text({.groups = 4, .keep = 1, .best = 0}) != "");
    CHECK(text({.groups = 4, .keep = 1, .fill = infinity}) ==
          "moe: group_limit.fill: wanted -inf or a finite number, got inf");
    CHECK(text({.groups = 4, .keep = 1, .fill = not_a_number}) != "");
    CHECK(text({.groups = 4, .keep = 1}) == "");
}

TEST_CASE("k above what a group limit leaves is refused, unless other groups are only filled") {
    const auto build = [](moe::index_t k, double fill) {
        return thrown<moe::value_error>([&] {
            moe::router{copy_gate<float>{8}, moe::group_limit{.groups = 4, .keep = 2, .fill = fill},
                        moe::top_k{.k = k}};
        });
    };
    CHECK(build(4, -infinity) == "");
    CHECK(build(5, -infinity) ==
          "moe: top_k routes per token (k): wanted at most 4 (experts that can be chosen), got 5");
    CHECK(build(8, 0) == "");
}
