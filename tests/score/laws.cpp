// The laws of layers for compositions that hold every score step.
#include "score/step_support.hpp"

namespace {

const std::vector<moe::index_t> law_labels{0, 1, 2, 0, 1, 2};

template <class T>
struct law_batch {
    moe::matrix<T> x = moe::testing::random_matrix<T>(6, 5, 41);
    moe::matrix<T> side = moe::testing::random_matrix<T>(6, 8, 42);
    moe::batch<T> in;

    law_batch() {
        in.x = x;
        in.side = side;
        in.label = law_labels;
        in.training = true;
        in.first_token = 1000;
    }
};

moe::steer steered_by_label() {
    return {rows_of<std::uint8_t>({{1, 0, 0, 1, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 1, 0, 0, 0, 0, 0}})};
}

moe::pinned_experts pinned_by_label() {
    return {rows_of<std::uint8_t>({{0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 1, 0, 1}})};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("noise, learned steps and caps keep the laws of layers in training", "", every_backend) {
    using T = typename TestType::scalar;
    const law_batch<T> given;
    check_laws<typename TestType::backend>(
        layer_around<T>(moe::jitter{0.1}, moe::gumbel_noise{}, moe::gaussian_noise{},
                        moe::learned_noise<T>{{.features = 5, .experts = 8}}, moe::logit_bias<T>{8},
                        moe::learned_temperature<T>{{.initial = 0.5}}, moe::soft_cap{5}, moe::softmax{},
                        moe::top_k{.k = 2}),
        given.in);
}

TEMPLATE_LIST_TEST_CASE("normalisations, steering and pins keep the laws of layers", "", every_backend) {
    using T = typename TestType::scalar;
    const law_batch<T> given;
    check_laws<typename TestType::backend>(
        layer_around<T>(moe::side_scores{0.5}, moe::standardize{}, steered_by_label(),
                        moe::rms_normalize<T>{{.columns = 8}}, moe::relu_score{}, moe::l2_normalize{},
                        moe::learned_scale<T>{}, moe::sqrt_softplus{}, moe::identity_score{}, pinned_by_label(),
                        moe::top_k{.k = 2}),
        given.in);
}
