// Random score steps beside gaussian_noise: jitter, gumbel_noise, learned_noise.
#include "score/step_support.hpp"

namespace {

template <class T>
moe::batch<T> noisy_batch(const moe::matrix<T>& x, bool training = true) {
    moe::batch<T> in;
    in.x = x;
    in.training = training;
    in.seed = 5;
    return in;
}

template <class On, class... Steps>
auto noisy_scores(const moe::batch<typename On::scalar>& in, Steps... steps) {
    using T = typename On::scalar;
    return route<typename On::backend>(moe::router{copy_gate<T>{in.x.cols}, steps..., moe::top_k{.k = 1}}, in);
}

template <class T>
moe::matrix<T> constant(moe::index_t rows, moe::index_t cols, T value) {
    moe::matrix<T> m(rows, cols);
    std::fill(m.span().begin(), m.span().end(), value);
    return m;
}

template <class T>
moe::learned_noise<T> some_learned_noise() {
    moe::learned_noise<T> noise{{.features = 5, .experts = 8, .floor = 0.01}};
    const auto w = moe::testing::random_matrix<T>(8, 5, 51);
    noise.weight.assign(0, w.view());
    return noise;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("random score steps are off outside of training", "", every_backend) {
    using T = typename TestType::scalar;
    const auto x = moe::testing::random_matrix<T>(4, 8, 50);
    const moe::learned_noise<T> learned{{.features = 8, .experts = 8}};
    const auto r = noisy_scores<TestType>(noisy_batch(x, false), moe::jitter{0.5}, moe::gumbel_noise{}, learned);
    CHECK(moe::testing::same_bits(r.scores, r.logits));
}

TEMPLATE_LIST_TEST_CASE("jitter multiplies by factors that fill their interval evenly", "", every_backend) {
    using T = typename TestType::scalar;
    const auto ones = constant<T>(3000, 4, T(1));
    const auto r = noisy_scores<TestType>(noisy_batch(ones), moe::jitter{0.25});
    double sum = 0, low = 9, high = 0;
    for (const T v : r.scores.span()) {
        sum += double(v);
        low = std::min(low, double(v));
        high = std::max(high, double(v));
    }
    CHECK(sum / 12000 == Approx(1).epsilon(0.005));
    CHECK(low >= 0.75 * (1 - 1e-6));
    CHECK(low < 0.7505);
    CHECK(high <= 1.25 * (1 + 1e-6));
    CHECK(high > 1.2495);
    const auto again = noisy_scores<TestType>(noisy_batch(ones), moe::jitter{0.25});
    CHECK(moe::testing::same_bits(r.scores, again.scores));
    CHECK(!moe::testing::same_bits(r.scores, noisy_scores<TestType>(noisy_batch(ones), moe::jitter{0.25, "b"}).scores));
}

TEMPLATE_LIST_TEST_CASE("top-1 of logits with Gumbel noise draws from the softmax", "", every_backend) {
    using T = typename TestType::scalar;
    constexpr moe::index_t tokens = 20000;
    moe::matrix<T> x(tokens, 3);
    const double p[3] = {0.6, 0.3, 0.1};
    for (moe::index_t t = 0; t < tokens; ++t) {
        for (moe::index_t e = 0; e < 3; ++e) x(t, e) = static_cast<T>(std::log(p[e]));
    }
    const auto r = noisy_scores<TestType>(noisy_batch(x), moe::gumbel_noise{});
    double count[3] = {};
    for (const moe::index_t e : r.expert) count[e] += 1.0 / tokens;
    for (int e = 0; e < 3; ++e) CHECK(count[e] == Approx(p[e]).margin(4 * std::sqrt(p[e] / tokens)));
}

TEMPLATE_LIST_TEST_CASE("two Gumbel steps of opposite scale and other streams make logistic noise", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::matrix<T> zeros(5000, 4);
    const auto r = noisy_scores<TestType>(noisy_batch(zeros), moe::gumbel_noise{.scale = 1, .stream = "one"},
                                          moe::gumbel_noise{.scale = -1, .stream = "other"});
    double above = 0;
    for (const T v : r.scores.span()) above += v > T(1) ? 1.0 / 20000 : 0;
    CHECK(above == Approx(1 / (1 + std::exp(1.0))).margin(0.013));
}

TEMPLATE_LIST_TEST_CASE("learned noise starts with the deviation log 2 plus floor", "", every_backend) {
    using T = typename TestType::scalar;
    const moe::matrix<T> zeros(4000, 4);
    const moe::learned_noise<T> learned{{.features = 4, .experts = 4, .floor = 0.1}};
    const auto r = noisy_scores<TestType>(noisy_batch(zeros), learned);
    double squares = 0;
    for (const T v : r.scores.span()) squares += double(v) * double(v) / 16000;
    CHECK(std::sqrt(squares) == Approx(std::log(2.0) + 0.1).epsilon(0.02));
    CHECK(moe::testing::same_bits(r.logits, zeros));
}

TEMPLATE_LIST_TEST_CASE("learned noise has the deviation it states", "", every_backend) {
    using T = typename TestType::scalar;
    typename TestType::backend backend;
    const auto x = moe::testing::random_matrix<T>(3, 5, 52);
    moe::matrix<T> sigma(3, 8);
    const auto learned = some_learned_noise<T>();
    learned.deviation(backend, x.view(), sigma.view());
    for (moe::index_t t = 0; t < 3; ++t) {
        for (moe::index_t e = 0; e < 8; ++e) {
            double h = 0;
            for (moe::index_t k = 0; k < 5; ++k) h += double(x(t, k)) * double(learned.weight(0, e, k));
            CHECK(double(sigma(t, e)) == Approx(std::log1p(std::exp(h)) + 0.01).epsilon(1e-5));
        }
    }
}

TEST_CASE("the gradients of random score steps equal central differences") {
    const auto x = moe::testing::random_matrix<double>(6, 5, 53);
    const moe::top_k two{.k = 2};
    SECTION("jitter") {
        check_derivatives(layer_around<double>(moe::jitter{0.5}, moe::softmax{}, two), noisy_batch(x));
    }
    SECTION("gumbel_noise") {
        check_derivatives(layer_around<double>(moe::gumbel_noise{}, moe::softmax{}, two), noisy_batch(x));
    }
    SECTION("learned_noise") {
        const auto layer = layer_around<double>(some_learned_noise<double>(), moe::softmax{}, two);
        check_derivatives(layer, noisy_batch(x));
        const auto in_training = gradient_of<moe::reference>("router.1.weight", layer, noisy_batch(x));
        CHECK(std::any_of(in_training.begin(), in_training.end(), [](double d) { return d != 0; }));
        const auto off = gradient_of<moe::reference>("router.1.weight", layer, noisy_batch(x, false));
        CHECK(std::all_of(off.begin(), off.end(), [](double d) { return d == 0; }));
    }
}

TEST_CASE("random score steps refuse options out of range") {
    CHECK(refused(moe::jitter{1}) == "moe: jitter.epsilon: wanted at least 0 and below 1, got 1.000000");
    CHECK(refused(moe::jitter{-0.1}) != "");
    CHECK(refused(moe::jitter{not_a_number}) != "");
    CHECK(refused(moe::gumbel_noise{infinity}) == "moe: gumbel_noise.scale: wanted a finite number, got inf");
    CHECK(refused(moe::gumbel_noise{not_a_number}) != "");
    using noise = moe::learned_noise<float>;
    CHECK(thrown<moe::value_error>([] { noise{{.features = 0, .experts = 8}}; }) ==
          "moe: learned_noise.features: wanted at least 1, got 0");
    CHECK(thrown<moe::value_error>([] { noise{{.features = 8, .experts = 8, .floor = -1}}; }) ==
          "moe: learned_noise.floor: wanted a finite number of at least 0, got -1.000000");
    CHECK(refused<moe::shape_error>(noise{{.features = 8, .experts = 7}}) ==
          "moe: learned_noise.experts: wanted 8, got 7");
    const moe::router router{copy_gate<float>{8}, noise{{.features = 7, .experts = 8}}, moe::top_k{.k = 1}};
    moe::batch<float> in;
    const moe::matrix<float> x(1, 8);
    in.x = in.features = x;
    CHECK(thrown<moe::shape_error>([&] { router.check(in); }) == "moe: learned_noise.features: wanted 8, got 7");
}
