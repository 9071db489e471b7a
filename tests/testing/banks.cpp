// Every bank and kind of shared experts keeps the laws.
// SPDX-License-Identifier: Apache-2.0
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
    CHECK(laws(learned(moe::recompute{gated_bank})) == no_violations);
    CHECK(laws(moe::borrow(plain_bank)) == no_violations);
    CHECK(laws(learned(moe::lora_bank<double, moe::gated<moe::silu>>{gated_bank, {.rank = 2, .alpha = 3}})) ==
          no_violations);
    CHECK(laws(learned(moe::soft_merge_bank{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::latent_input{gated_bank, {.features = 4}})) == no_violations);
    CHECK(laws(learned(moe::weigh_input{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::weigh_hidden{gated_bank})) == no_violations);
}

TEST_CASE("shared experts keep the laws") {
    CHECK(laws(learned(moe::shared{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::gated_shared{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::averaged_shared{gated_bank})) == no_violations);
    CHECK(laws(learned(moe::coefficient_shared{gated_bank})) == no_violations);
}
