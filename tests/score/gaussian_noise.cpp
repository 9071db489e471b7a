#include "moe/score/gaussian_noise.hpp"

#include "score/step_support.hpp"

namespace {

template <class T>
moe::batch<T> training(const moe::matrix<T>& x) {
    moe::batch<T> in;
    in.x = x;
    in.training = true;
    in.seed = 7;
    in.step = 3;
    return in;
}

// The noise that 4 experts get.
template <class On>
auto noise(const moe::batch<typename On::scalar>& in, moe::gaussian_noise step = {}) {
    using T = typename On::scalar;
    return route<typename On::backend>(moe::router{copy_gate<T>{in.x.cols}, step, moe::top_k{.k = 1}}, in).scores;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gaussian noise is off outside of training", "", every_backend) {
    const auto r = route_logits<TestType>({{1, -3, 0, 2}}, moe::gaussian_noise{.sigma = 5});
    CHECK(moe::testing::same_bits(r.scores, r.logits));
}

TEMPLATE_LIST_TEST_CASE("gaussian noise has mean 0 and the stated deviation", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::matrix<T> zeros(5000, 4);
    const auto n = noise<TestType>(training(zeros), {.sigma = 0.5});
    double sum = 0, squares = 0;
    for (const T v : n.span()) {
        sum += double(v);
        squares += double(v) * double(v);
    }
    const double count = double(n.size());
    CHECK(std::abs(sum / count) < 4 * 0.5 / std::sqrt(count));
    CHECK(std::sqrt(squares / count) == Approx(0.5).epsilon(0.02));
}

TEMPLATE_LIST_TEST_CASE("gaussian noise depends on seed, step, stream and global token number", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::matrix<T> zeros(6, 4);
    const auto in = training(zeros);
    const auto n = noise<TestType>(in);
    CHECK(moe::testing::same_bits(n, noise<TestType>(in)));
    auto other = in;
    other.seed = 8;
    CHECK(!moe::testing::same_bits(n, noise<TestType>(other)));
    other = in;
    other.step = 4;
    CHECK(!moe::testing::same_bits(n, noise<TestType>(other)));
    CHECK(!moe::testing::same_bits(n, noise<TestType>(in, {.stream = "another"})));

    const moe::matrix<T> fewer(2, 4);
    auto later = training(fewer);
    later.first_token = 3;
    const auto tail = noise<TestType>(later);
    for (moe::index_t e = 0; e < 4; ++e) {
        CHECK(tail(0, e) == n(3, e));
        CHECK(tail(1, e) == n(4, e));
    }
}

TEST_CASE("gaussian noise lets the gradient pass") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 13);
    check_derivatives(layer_around<double>(moe::gaussian_noise{.sigma = 0.7}, moe::softmax{}, moe::top_k{.k = 2}),
                      training(x));
}

TEMPLATE_LIST_TEST_CASE("a layer with gaussian noise keeps the laws of layers in training", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(6, 5, 13);
    check_laws<typename TestType::backend>(
        layer_around<T>(moe::gaussian_noise{.sigma = 0.7}, moe::softmax{}, moe::top_k{.k = 2}), training(x));
}

TEST_CASE("gaussian noise refuses a deviation that is negative or not finite") {
    CHECK(refused(moe::gaussian_noise{.sigma = -1}) ==
          "moe: gaussian_noise.sigma: wanted a finite number of at least 0, got -1.000000");
    CHECK(refused(moe::gaussian_noise{.sigma = not_a_number}) != "");
    CHECK(refused(moe::gaussian_noise{.sigma = infinity}) != "");
    CHECK(refused(moe::gaussian_noise{.sigma = 0}) == "");
}
