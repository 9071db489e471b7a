// Every gate, bank, combine and kind of shared experts keeps the laws.
#include "testing/every.hpp"

namespace {

using moe::matrix_view;

const moe::ffn_bank<double, moe::gelu> plain_bank{
    {.features = 3, .hidden = 2, .experts = 3, .bias = true, .outputs = 2}};
const moe::swiglu_bank<double> gated_bank{{.features = 3, .hidden = 2, .experts = 3, .bias = true}};

struct doubled {
    void operator()(moe::index_t, matrix_view<const double> x, matrix_view<double> y) const {
        for (moe::index_t r = 0; r < x.rows; ++r) {
            for (moe::index_t j = 0; j < x.cols; ++j) y(r, j) = 2 * x(r, j);
        }
    }
    void backward(moe::index_t, matrix_view<const double>, matrix_view<const double> dy, matrix_view<double> dx) const {
        (*this)(0, dy, dx);
    }
};

}  // namespace

TEST_CASE("gates keep the laws") {
    const moe::linear_gate<double> gate{{.features = 3, .experts = 4}};
    CHECK(laws(gate) == no_violations);
    CHECK(laws(learned(moe::mlp_gate<double>{{.features = 3, .hidden = 4, .experts = 3, .bias = true}})) ==
          no_violations);
    CHECK(laws(learned(moe::cosine_gate<double>{{.features = 3, .experts = 4, .projection = 2}})) == no_violations);
    CHECK(laws(learned(moe::product_keys_gate<double>{{.features = 4, .experts = 9}})) == no_violations);
    CHECK(laws(learned(moe::label_table_gate<double>{{.features = 3, .labels = 2, .experts = 4}})) == no_violations);
    CHECK(laws(moe::features_through{moe::jitter{0.1}, gate}) == no_violations);
    CHECK(laws(moe::frozen_gate{gate}) == no_violations);
    const std::vector<moe::index_t> columns{0, 1, 1, 3};
    for (const moe::pooling how : {moe::pooling::mean, moe::pooling::max, moe::pooling::log_sum_exp}) {
        CHECK(laws(moe::pooled_gate{gate, {.experts = 4, .expert_of_column = columns, .how = how}}) == no_violations);
    }
}

TEST_CASE("banks keep the laws") {
    CHECK(laws(learned(plain_bank)) == no_violations);
    CHECK(laws(learned(gated_bank)) == no_violations);
    CHECK(laws(moe::null_bank<double>{{.features = 3, .experts = 3}}) == no_violations);
    CHECK(laws(moe::identity_bank<double>{{.features = 3, .experts = 3}}) == no_violations);
    CHECK(laws(learned(moe::constant_bank<double>{{.features = 3, .experts = 3}})) == no_violations);
    CHECK(laws(learned(moe::rank_one_bank<double, moe::gelu>{{.features = 3, .experts = 4, .outputs = 2}})) ==
          no_violations);
    CHECK(laws(learned(moe::low_rank_bank<double>{{.features = 3, .rank = 2, .experts = 3, .alpha = 4}})) ==
          no_violations);
    CHECK(laws(moe::callable_bank<double, doubled>{{.features = 3, .experts = 3}, doubled{}}) == no_violations);
}

TEST_CASE("banks around banks keep the laws") {
    CHECK(laws(learned(moe::banks{gated_bank, moe::identity_bank<double>{{.features = 3, .experts = 1}}})) ==
          no_violations);
    CHECK(laws(learned(moe::bank_sum{moe::frozen{gated_bank}, gated_bank})) == no_violations);
    CHECK(laws(moe::frozen{plain_bank}) == no_violations);
    CHECK(laws(moe::borrow(plain_bank)) == no_violations);
    CHECK(laws(learned(moe::lora_bank<double, moe::gated<moe::silu>>{gated_bank, {.rank = 2, .alpha = 3}})) ==
          no_violations);
    CHECK(laws(learned(moe::soft_merge_bank{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::latent_input{gated_bank, {.features = 4}})) == no_violations);
    CHECK(laws(learned(moe::weigh_input{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::weigh_hidden{gated_bank})) == no_violations);
}

TEST_CASE("combines keep the laws") {
    CHECK(laws(moe::weighted_sum{}) == no_violations);
    CHECK(laws(moe::row_sum{}) == no_violations);
    CHECK(laws(moe::scaled_sum{.factor = -2.5}) == no_violations);
    CHECK(laws(learned(moe::biased_sum<double>{{.outputs = 3}})) == no_violations);
    CHECK(laws(learned(moe::projected_sum<double>{{.inputs = 3, .outputs = 2}})) == no_violations);
    CHECK(laws(moe::concat{.k = 2}) == no_violations);
    CHECK(laws(moe::concat{.k = 3, .weighted = false}) == no_violations);
}

TEST_CASE("shared experts keep the laws") {
    CHECK(laws(learned(moe::shared{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::gated_shared{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::averaged_shared{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::coefficient_shared{gated_bank})) == no_violations);
}
