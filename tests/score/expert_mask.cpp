#include "moe/score/expert_mask.hpp"

#include "score/step_support.hpp"

namespace {

moe::matrix<std::uint8_t> table(std::initializer_list<std::initializer_list<double>> rows) {
    return rows_of<std::uint8_t>(rows);
}

const std::vector<moe::index_t> labels{0, 1, 1, 0, 2, 1};

moe::expert_mask by_label() {
    return {table({{1, 1, 1, 1, 0, 0, 0, 0}, {0, 0, 0, 0, 1, 1, 1, 1}, {1, 0, 1, 0, 1, 0, 1, 0}})};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a mask of one row forbids experts for all tokens", "", every_backend) {
    const moe::expert_mask mask{table({{1, 0, 1}})};
    const auto in_front = route_logits<TestType>({{0, 5, 0}, {1, 9, 2}}, mask, moe::softmax{});
    check_close(in_front.scores, {{0.5, 0, 0.5}, {0.26894142136999512, 0, 0.73105857863000490}});
    CHECK(in_front.expert == std::vector<moe::index_t>{0, 2});
    const auto behind = route_logits<TestType>({{0, 5, 0}}, moe::softmax{}, mask);
    check_close(behind.scores, {{0.006648354478866004, -infinity, 0.006648354478866004}});
    CHECK(behind.expert == std::vector<moe::index_t>{0});
}

TEMPLATE_LIST_TEST_CASE("a mask by label gives each token the row of its label", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = rows_of<T>({{3, 2, 1}, {3, 2, 1}, {3, 2, 1}});
    const std::vector<moe::index_t> label{2, 0, 1};
    moe::batch<T> in;
    in.x = x;
    in.label = label;
    const auto r = route<typename TestType::backend>(
        moe::router{copy_gate<T>{3}, moe::expert_mask{table({{1, 1, 1}, {0, 1, 1}, {0, 0, 1}})}, moe::top_k{.k = 2}},
        in);
    CHECK(r.expert == std::vector<moe::index_t>{2, -1, 0, 1, 1, 2});
    CHECK(r.weight == std::vector<T>{1, 0, 3, 2, 2, 1});
}

TEMPLATE_LIST_TEST_CASE("a token that may choose no expert gets no route", "", every_backend) {
    const auto r = route_logits<TestType>({{1, 2}}, moe::expert_mask{table({{0, 0}})}, moe::softmax{},
                                          moe::keys_only{moe::expert_mask{table({{0, 0}})}});
    check_close(r.scores, {{0, 0}});
    CHECK(r.expert == std::vector<moe::index_t>{-1});
}

TEMPLATE_LIST_TEST_CASE("labels of padding are not read", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = rows_of<T>({{3, 2}, {3, 2}});
    const std::vector<moe::index_t> label{1, -1000000};
    const std::vector<std::uint8_t> live{1, 0};
    moe::batch<T> in;
    in.x = x;
    in.label = label;
    in.mask = live;
    const auto r = route<typename TestType::backend>(
        moe::router{copy_gate<T>{2}, moe::expert_mask{table({{1, 1}, {0, 1}})}, moe::top_k{.k = 1}}, in);
    CHECK(r.expert == std::vector<moe::index_t>{1, -1});
}

TEST_CASE("a mask's gradient equals central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 14);
    moe::batch<double> in;
    in.x = x;
    in.label = labels;
    check_derivatives(layer_around<double>(by_label(), moe::softmax{}, moe::top_k{.k = 2}), in);
    check_derivatives(layer_around<double>(moe::softmax{}, by_label(), moe::top_k{.k = 2}), in);
}

TEMPLATE_LIST_TEST_CASE("a forbidden expert's row of the gate gets no gradient", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 14);
    moe::batch<T> in;
    in.x = x;
    const moe::expert_mask mask{table({{1, 1, 1, 0, 1, 1, 1, 1}})};
    const auto layer = layer_around<T>(mask, moe::softmax{}, moe::top_k{.k = 2});
    const auto g = gradient_of<typename TestType::backend>("router.0.weight", layer, in);
    moe::panels<T> gradient(1, 8, 5);
    REQUIRE(g.size() == gradient.span().size());
    std::copy(g.begin(), g.end(), gradient.span().begin());
    for (moe::index_t k = 0; k < 5; ++k) {
        CHECK(gradient(0, 3, k) == T(0));
        CHECK(gradient(0, 2, k) != T(0));
    }
}

TEMPLATE_LIST_TEST_CASE("a layer with a mask by label keeps the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 14);
    moe::batch<T> in;
    in.x = x;
    in.label = labels;
    check_laws<typename TestType::backend>(layer_around<T>(by_label(), moe::softmax{}, moe::top_k{.k = 2}), in);
}

TEST_CASE("a mask refuses a table of another width, missing labels and labels out of range") {
    CHECK(refused<moe::shape_error>(moe::expert_mask{table({{1, 1}})}) ==
          "moe: expert_mask.allowed: wanted [labels, 8], got [1, 2]");
    CHECK(refused<moe::shape_error>(moe::expert_mask{}) == "moe: expert_mask.allowed: wanted [labels, 8], got [0, 0]");

    const auto layer = layer_around<float>(by_label(), moe::softmax{}, moe::top_k{.k = 2});
    const auto x = moe::testing::random_matrix<float>(2, 5, 14);
    moe::matrix<float> y(2, 5);
    moe::reference backend;
    moe::batch<float> in;
    in.x = x;
    const auto run = [&] { layer.forward(backend, in, y.view()); };
    CHECK(thrown<moe::value_error>(run) ==
          "moe: expert_mask.allowed: wanted batch.label [T], because the table has 3 rows, got a batch without it");
    std::vector<moe::index_t> label{0, 3};
    in.label = label;
    CHECK(thrown<moe::value_error>(run) == "moe: batch.label[1]: wanted 0 to 2, got 3");
    label[1] = -1;
    CHECK(thrown<moe::value_error>(run) == "moe: batch.label[1]: wanted 0 to 2, got -1");
    label[1] = 2;
    CHECK(thrown<moe::value_error>(run) == "");
}
