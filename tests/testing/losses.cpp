// Every loss of routing keeps the laws.
#include "testing/every.hpp"

namespace {

// The targets are the batch's side [T,E].
template <class Loss>
struct against_side {
    Loss loss;
    template <class B, class T>
    double operator()(B& b, moe::tape<T>& tape) const {
        return loss(b, tape, tape.in().side);
    }
};

}  // namespace

TEST_CASE("balance losses keep the laws") {
    CHECK(laws(moe::load_balance{}) == no_violations);
    CHECK(laws(moe::load_balance{.from = moe::probabilities::softmax_of_logits}) == no_violations);
    CHECK(laws(moe::load_balance{.from = moe::probabilities::normalized_scores}) == no_violations);
    CHECK(laws(moe::load_balance{.null_experts = 1}) == no_violations);
    CHECK(laws(moe::load_balance{.groups = 2}, {.experts = 6}) == no_violations);
    CHECK(laws(moe::soft_balance{}) == no_violations);
    CHECK(laws(moe::importance_cv2{}) == no_violations);
    CHECK(laws(moe::importance_cv2{.from = moe::probabilities::route_weights}) == no_violations);
    CHECK(laws(moe::load_cv2{.k = 2}) == no_violations);
    CHECK(laws(moe::router_similarity{}) == no_violations);
    const std::vector<double> cost{1, 2, 0.5, -3, 1};
    CHECK(laws(moe::expected_cost{.cost = cost}) == no_violations);
}

TEST_CASE("entropies and targets keep the laws") {
    CHECK(laws(moe::z_loss{}) == no_violations);
    CHECK(laws(moe::token_entropy{}) == no_violations);
    CHECK(laws(moe::token_entropy{.label = 1}) == no_violations);
    CHECK(laws(moe::mean_entropy{}) == no_violations);
    CHECK(laws(moe::mean_entropy{.at_least = 0.8}) == no_violations);
    CHECK(laws(moe::tsallis_entropy{.q = 1.5}) == no_violations);
    CHECK(laws(moe::tsallis_entropy{.q = 1}) == no_violations);
    CHECK(laws(moe::group_mutual_information{.groups = 2}) == no_violations);
    CHECK(laws(against_side<moe::match_routing>{}, {.side = side_kind::by_expert}) == no_violations);
    CHECK(laws(against_side<moe::binary_match>{}, {.side = side_kind::by_expert}) == no_violations);
}
