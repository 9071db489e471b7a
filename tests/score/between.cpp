// Score steps between tokens, and between groups of experts: token_mix, random_expert_mask, group_guidance.
#include "score/step_support.hpp"

namespace {

template <class On, class Mix>
auto mixed(const moe::matrix<typename On::scalar>& p, const moe::matrix<typename On::scalar>& a, Mix mix) {
    using T = typename On::scalar;
    moe::batch<T> in;
    in.x = p;
    in.side = a;
    return route<typename On::backend>(moe::router{copy_gate<T>{p.cols()}, mix, moe::top_k{.k = 1}}, in).scores;
}

moe::group_guidance last_is_new(double threshold = 0.2, bool both = true) {
    return {rows_of<std::uint8_t>({{0, 0, 1}}), threshold, both};
}

template <class On>
auto guided(std::initializer_list<std::initializer_list<double>> logits, moe::group_guidance step,
            bool training = true) {
    using T = typename On::scalar;
    const auto x = rows_of<T>(logits);
    moe::batch<T> in;
    in.x = x;
    in.training = training;
    return route<typename On::backend>(moe::router{copy_gate<T>{x.cols()}, step, moe::top_k{.k = 1}}, in).scores;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("token_mix mixes the scores of tokens, causally if asked", "", every_backend) {
    using T = typename TestType::scalar;
    const auto p = rows_of<T>({{1, 2}, {3, 4}, {5, not_a_number}});
    check_close(mixed<TestType>(p, rows_of<T>({{0.5, 0.5, 0}, {1, 0, 0}, {0, 0, 2}}), moe::token_mix<>{}),
                {{2, 3}, {1, 2}, {10, not_a_number}});
    check_close(mixed<TestType>(p, rows_of<T>({{1, 9, 9}, {0.5, 0.5, 9}, {1, 1, 0}}), moe::token_mix<true>{}),
                {{1, 2}, {2, 3}, {4, 6}});
    static_assert(!moe::token_mix<>::causal && moe::token_mix<true>::causal);
}

TEMPLATE_LIST_TEST_CASE("token_mix takes nothing from masked tokens", "", every_backend) {
    using T = typename TestType::scalar;
    const auto p = rows_of<T>({{1, 2}, {not_a_number, 4}, {5, 6}});
    const auto a = rows_of<T>({{0.5, 0.5, 0}, {1, 0, 0}, {0, 1, 2}});
    const std::vector<std::uint8_t> mask{1, 0, 1};
    moe::batch<T> in;
    in.x = p;
    in.side = a;
    in.mask = mask;
    const moe::router router{copy_gate<T>{2}, moe::token_mix<>{}, moe::top_k{.k = 1}};
    check_close(route<typename TestType::backend>(router, in).scores, {{0.5, 1}, {0, 0}, {10, 12}});
}

TEMPLATE_LIST_TEST_CASE("random_expert_mask clears as many experts as stated, the same for every token", "",
                        every_backend) {
    using T = typename TestType::scalar;
    moe::matrix<T> x(3, 8);
    std::fill(x.span().begin(), x.span().end(), T(1));
    moe::batch<T> in;
    in.x = x;
    in.training = true;
    std::vector<int> cleared(8, 0);
    for (std::uint64_t step = 0; step < 300; ++step) {
        in.step = step;
        const auto s =
            route<typename TestType::backend>(
                moe::router{copy_gate<T>{8}, moe::random_expert_mask{.keep = 5, .protect = 2}, moe::top_k{.k = 1}}, in)
                .scores;
        int zeros = 0;
        for (moe::index_t e = 0; e < 8; ++e) {
            zeros += s(0, e) == T(0);
            cleared[std::size_t(e)] += s(0, e) == T(0);
            CHECK((s(1, e) == s(0, e) && s(2, e) == s(0, e)));
        }
        CHECK(zeros == 3);
    }
    CHECK(cleared[0] + cleared[1] == 0);
    for (std::size_t e = 2; e < 8; ++e) CHECK(cleared[e] == Approx(150).margin(35));
    in.training = false;
    const auto off = route<typename TestType::backend>(
        moe::router{copy_gate<T>{8}, moe::random_expert_mask{.keep = 1}, moe::top_k{.k = 1}}, in);
    CHECK(moe::testing::same_bits(off.scores, off.logits));
}

TEMPLATE_LIST_TEST_CASE("group_guidance leaves one group to each token", "", every_backend) {
    check_close(guided<TestType>({{0.5, 0.2, 0.55}, {0.5, 0.2, 0.7}, {0.5, 0.2, 0.45}, {0, 0, 0}}, last_is_new()),
                {{0.5, 0.2, -infinity}, {-infinity, -infinity, 0.7}, {0.5, 0.2, -infinity}, {0, 0, -infinity}});
    check_close(guided<TestType>({{0.5, 0.2, 0.7}, {0.5, 0.2, 0.45}}, last_is_new(0.2, false)),
                {{0.5, 0.2, 0.7}, {0.5, 0.2, -infinity}});
    check_close(guided<TestType>({{0.5, 0.2, 0.7}}, last_is_new(), false), {{0.5, 0.2, 0.7}});
    check_close(guided<TestType>({{-infinity, -infinity, 1}, {1, 2, -infinity}}, last_is_new()),
                {{-infinity, -infinity, 1}, {1, 2, -infinity}});
}

TEST_CASE("the gradients of token_mix, random_expert_mask and group_guidance equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 82);
    const auto a = moe::testing::random_matrix<double>(6, 6, 83);
    moe::batch<double> in;
    in.x = x;
    in.side = a;
    in.training = true;
    const moe::top_k two{.k = 2};
    SECTION("token_mix") { check_derivatives(layer_around<double>(moe::softmax{}, moe::token_mix<>{}, two), in); }
    SECTION("causal") { check_derivatives(layer_around<double>(moe::softmax{}, moe::token_mix<true>{}, two), in); }
    SECTION("random_expert_mask") {
        check_derivatives(layer_around<double>(moe::softmax{}, moe::random_expert_mask{.keep = 5, .protect = 2}, two),
                          in);
    }
    SECTION("group_guidance") {
        const moe::group_guidance step{rows_of<std::uint8_t>({{0, 0, 0, 0, 1, 1, 1, 1}})};
        check_derivatives(layer_around<double>(step, moe::softmax{}, two), in);
    }
}

TEMPLATE_LIST_TEST_CASE("layers with token_mix and group_guidance keep the laws that hold for them", "",
                        every_backend) {
    using T = typename TestType::scalar;
    using B = typename TestType::backend;
    const auto x = moe::testing::random_matrix<T>(6, 5, 82);
    const auto a = moe::testing::random_matrix<T>(6, 6, 83);
    moe::batch<T> in;
    in.x = x;
    in.training = true;
    const moe::group_guidance guidance{rows_of<std::uint8_t>({{0, 0, 0, 0, 1, 1, 1, 1}})};
    check_laws<B>(layer_around<T>(guidance, moe::softmax{}, moe::random_expert_mask{.keep = 6}, moe::top_k{.k = 2}),
                  in);
    in.side = a;
    const auto mixing = layer_around<T>(moe::softmax{}, moe::token_mix<>{}, moe::top_k{.k = 2});
    B backend;
    moe::cpu one, three{{.threads = 3}};
    CHECK(moe::testing::taped_equals_inference(backend, mixing, in) == "");
    CHECK(moe::testing::same_on(one, three, mixing, in) == "");
}

TEST_CASE("token_mix, random_expert_mask and group_guidance refuse what does not fit") {
    const moe::matrix<float> x(3, 8), wide(3, 4);
    moe::batch<float> in;
    in.x = in.features = x;
    in.side = wide;
    const moe::router mixing{copy_gate<float>{8}, moe::token_mix<>{}, moe::top_k{.k = 1}};
    CHECK(thrown<moe::shape_error>([&] { mixing.check(in); }) == "moe: batch.side: wanted [3, 3], got [3, 4]");
    const moe::matrix<float> square(3, 3);
    in.side = square;
    in.causal = true;
    CHECK(thrown<moe::value_error>([&] { mixing.check(in); }).find("batch.causal") != std::string::npos);
    const moe::router causal{copy_gate<float>{8}, moe::token_mix<true>{}, moe::top_k{.k = 1}};
    CHECK(thrown<moe::error>([&] { causal.check(in); }) == "");

    CHECK(refused(moe::random_expert_mask{.keep = 9}) == "moe: random_expert_mask.keep: wanted 1 to 8, got 9");
    CHECK(refused(moe::random_expert_mask{.keep = 3, .protect = 4}) ==
          "moe: random_expert_mask.protect: wanted 0 to 3 (keep), got 4");
    CHECK(refused<moe::shape_error>(last_is_new()) == "moe: group_guidance.is_new: wanted [1, 8], got [1, 3]");
    CHECK(refused(moe::group_guidance{moe::matrix<std::uint8_t>(1, 8), not_a_number}) ==
          "moe: group_guidance.threshold: wanted a finite number of at least 0, got nan");
}
