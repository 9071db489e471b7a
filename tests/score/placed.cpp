// Score steps that act on chosen experts or take scores from outside: steer, pinned_experts, side_scores.
#include "score/step_support.hpp"

namespace {

using expert_table = moe::matrix<std::uint8_t>;

expert_table row(std::initializer_list<double> experts) { return rows_of<std::uint8_t>({experts}); }

const std::vector<moe::index_t> placed_labels{0, 1, 1, 0, 1, 0};

}  // namespace

TEMPLATE_LIST_TEST_CASE("soft steering adds a share of the token's deviation to chosen experts", "", every_backend) {
    const auto r = route_logits<TestType>({{1, 2, 3, 4}, {5, 5, 5, 5}, {-infinity, 1, 3, not_a_number}},
                                          moe::steer{row({1, 0, 0, 0})});
    check_close(r.scores, {{1.5590169943749475, 2, 3, 4}, {5, 5, 5, 5}, {-infinity, 1, 3, not_a_number}});
    const auto masked = route_logits<TestType>({{-infinity, 1, 3}}, moe::steer{row({1, 1, 0}), moe::steering::gain, 2});
    check_close(masked.scores, {{-infinity, 3, 3}});
    const auto nothing = route_logits<TestType>({{1, 2, 3, 4}}, moe::steer{row({0, 0, 0, 0})});
    CHECK(moe::testing::same_bits(nothing.scores, nothing.logits));
}

TEMPLATE_LIST_TEST_CASE("forced experts stand above all others, or below", "", every_backend) {
    const moe::steer in{row({1, 0, 0, 0}), moe::steering::force_in, 1e-6};
    const auto first = route_logits<TestType>({{1, 2, 3, 4}, {-9, -1, -2, -3}, {0, 1e6, 5, 1e6}}, in);
    CHECK(first.expert == std::vector<moe::index_t>{0, 0, 0});
    check_close(first.scores, {{4.000005, 2, 3, 4}, {-0.999998, -1, -2, -3}, {1e6 + 1.000001, 1e6, 5, 1e6}});
    CHECK(first.scores(2, 0) > first.scores(2, 1));
    const moe::steer out{row({0, 0, 0, 1}), moe::steering::force_out, 1e-6};
    const auto last = route_logits<TestType>({{1, 2, 3, 4}, {-infinity, 1, 2, 9}}, out);
    check_close(last.scores, {{1, 2, 3, 0.999998}, {-infinity, 1, 2, 0.999998}});
}

TEMPLATE_LIST_TEST_CASE("forced experts stand beyond all numbers, wherever a NaN stands", "", every_backend) {
    const moe::steer in{row({0, 0, 1, 0}), moe::steering::force_in, 1e-6};
    check_close(route_logits<TestType>({{not_a_number, 1, 0, 3}, {3, 1, 0, not_a_number}}, in).scores,
                {{not_a_number, 1, 3.000004, 3}, {3, 1, 3.000004, not_a_number}});
    const moe::steer out{row({0, 0, 1, 0}), moe::steering::force_out, 1e-6};
    check_close(route_logits<TestType>({{not_a_number, 1, 2, 3}, {3, 1, 2, not_a_number}}, out).scores,
                {{not_a_number, 1, 0.999998, 3}, {3, 1, 0.999998, not_a_number}});
}

TEMPLATE_LIST_TEST_CASE("pinned experts take the tokens of their label with the stated weight", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = rows_of<T>({{3, 1, 2}, {3, 1, 2}, {3, 1, not_a_number}});
    const std::vector<moe::index_t> label{0, 1, 1};
    moe::batch<T> in;
    in.x = x;
    in.label = label;
    const moe::pinned_experts pins{rows_of<std::uint8_t>({{0, 0, 0}, {0, 1, 0}}), 0.75};
    const auto r =
        route<typename TestType::backend>(moe::router{copy_gate<T>{3}, moe::softmax{}, pins, moe::top_k{.k = 2}}, in);
    CHECK(r.expert == std::vector<moe::index_t>{0, 2, 1, -1, 1, -1});
    CHECK(r.weight[2] == T(0.75));
    CHECK(r.weight[3] == T(0));
    CHECK(r.weight[4] == T(0.75));
}

TEMPLATE_LIST_TEST_CASE("side scores are added with their gain", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = rows_of<T>({{2, -2, 0}});
    const auto side = rows_of<T>({{0, 0, 0.5}});
    moe::batch<T> in;
    in.x = x;
    in.side = side;
    const auto r = route<typename TestType::backend>(
        moe::router{copy_gate<T>{3}, moe::side_scores{3}, moe::softmax{}, moe::top_k{.k = 1}}, in);
    check_close(r.scores, {{0.6154428273374402, 0.011272228582174134, 0.37328494408038587}});
}

TEST_CASE("the gradients of steering, pins and side scores equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 18);
    const auto side = moe::testing::random_matrix<double>(6, 8, 19);
    moe::batch<double> in;
    in.x = x;
    in.side = side;
    in.label = placed_labels;
    const moe::top_k three{.k = 3};
    const expert_table by_label = rows_of<std::uint8_t>({{1, 0, 1, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 1, 1, 0}});
    SECTION("gain") { check_derivatives(layer_around<double>(moe::steer{by_label}, moe::softmax{}, three), in); }
    SECTION("force_in") {
        const moe::steer step{by_label, moe::steering::force_in, 0.1};
        check_derivatives(layer_around<double>(step, moe::softmax{}, three), in);
    }
    SECTION("force_out") {
        const moe::steer step{by_label, moe::steering::force_out, 0.1};
        check_derivatives(layer_around<double>(step, moe::softmax{}, moe::top_k{.k = 8}), in);
    }
    SECTION("behind a mask") {
        const moe::expert_mask mask{row({1, 1, 0, 1, 1, 1, 1, 1})};
        check_derivatives(layer_around<double>(mask, moe::steer{by_label}, moe::softmax{}, three), in);
    }
    SECTION("pinned_experts") {
        const moe::pinned_experts pins{rows_of<std::uint8_t>({{0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 1, 1, 0}})};
        check_derivatives(layer_around<double>(moe::softmax{}, pins, three), in);
    }
    SECTION("side_scores") { check_derivatives(layer_around<double>(moe::side_scores{2}, moe::softmax{}, three), in); }
}

TEST_CASE("steering, pins and side scores refuse options and batches that do not fit") {
    CHECK(refused<moe::shape_error>(moe::steer{row({1, 0})}) == "moe: steer.experts: wanted [labels, 8], got [1, 2]");
    const expert_table eight = row({1, 0, 0, 0, 0, 0, 0, 0});
    CHECK(refused(moe::steer{eight, moe::steering::gain, not_a_number}) ==
          "moe: steer.amount: wanted a finite number, got nan");
    CHECK(refused(moe::steer{eight, moe::steering::gain, -2}) == "");
    CHECK(refused(moe::steer{eight, moe::steering::force_in, 0}) ==
          "moe: steer.amount: wanted a positive number when forcing, got 0.000000");
    CHECK(refused<moe::shape_error>(moe::pinned_experts{row({1, 0})}) ==
          "moe: pinned_experts.pinned: wanted [labels, 8], got [1, 2]");
    CHECK(refused(moe::pinned_experts{eight, infinity}) ==
          "moe: pinned_experts.score: wanted a finite number, got inf");
    CHECK(refused(moe::side_scores{infinity}) == "moe: side_scores.gain: wanted a finite number, got inf");

    const moe::router router{copy_gate<float>{8}, moe::side_scores{}, moe::top_k{.k = 1}};
    const moe::matrix<float> x(2, 8), narrow(2, 7);
    moe::batch<float> in;
    in.x = in.features = x;
    CHECK(thrown<moe::value_error>([&] { router.check(in); }).find("batch.side") != std::string::npos);
    in.side = narrow;
    CHECK(thrown<moe::shape_error>([&] { router.check(in); }) == "moe: batch.side: wanted [2, 8], got [2, 7]");
}
