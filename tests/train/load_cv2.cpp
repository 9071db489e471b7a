#include "moe/train/load_cv2.hpp"

#include "train/losses.hpp"

using losses::index_t;

namespace {

template <class T>
auto noisy_layer(index_t experts, index_t k, double sigma) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = experts, .seed = 11}},
                                  moe::gaussian_noise{.sigma = sigma}, moe::softmax{}, moe::top_k{.k = k}},
                      moe::ffn_bank<T, moe::silu>{{.features = 5, .hidden = 3, .experts = experts}}};
}

}  // namespace

TEST_CASE("the load loss is right by central differences, with noise, mask and both limits") {
    moe::reference b;
    const auto x = moe::testing::random_matrix<double>(7, 5, 21);
    const std::vector<std::uint8_t> mask{1, 0, 1, 1, 0, 1, 1};
    for (const auto threshold : {moe::load_threshold::others, moe::load_threshold::kth}) {
        for (const index_t k : {1, 2, 3}) {
            auto layer = noisy_layer<double>(4, k, 0.5);
            moe::batch<double> in;
            in.x = x;
            in.training = true;
            in.seed = 5;
            const moe::load_cv2 loss{.coefficient = 0.7, .k = k, .noise = {.sigma = 0.5}, .threshold = threshold};
            for (int masked = 0; masked < 2; ++masked) {
                if (masked == 1) in.mask = mask;
                const auto report = moe::testing::check_gradients(b, layer, in, loss);
                INFO(report.where);
                CHECK(report.worst <= difference_tolerance);
                CHECK(report.nonzero);
            }
        }
    }
}

TEST_CASE("the load loss draws the numbers that the router drew") {
    // The router's noisy choice: an expert's smooth load is above 1/2 exactly where its noisy logit beats the limit with
    // noise of a fresh mean, so with tiny sigma both are the same counts.
    moe::reference b;
    const auto layer = noisy_layer<double>(6, 2, 1e-9);
    const auto x = moe::testing::random_matrix<double>(50, 5, 3);
    moe::batch<double> in;
    in.x = x;
    in.training = true;
    moe::tape<double> tape;
    losses::record(b, layer, in, tape);
    std::vector<double> counts;
    for (index_t e = 0; e < 6; ++e) counts.push_back(tape.plan().count(e));
    const double smooth = moe::load_cv2{.k = 2, .noise = {.sigma = 1e-9}}(b, tape);
    CHECK(smooth == Approx(moe::detail::squared_cv(counts)));
    in.training = false;
    losses::record(b, layer, in, tape);
    const double hard = moe::load_cv2{.k = 2, .noise = {.sigma = 1e-9}}(b, tape);
    CHECK(hard == Approx(smooth));
    CHECK(losses::largest(tape.d.logits) == 0.0);
}

TEST_CASE("the load loss follows its formula on one token") {
    moe::reference b;
    auto layer = noisy_layer<double>(3, 1, 0.25);
    moe::matrix<double> x(1, 5);
    x(0, 0) = 1.0;
    for (index_t e = 0; e < 3; ++e) layer.router().step<0>().weight(0, e, 0) = 0.3 * (3 - e);
    moe::batch<double> in;
    in.x = x;
    in.training = true;
    moe::tape<double> tape;
    losses::record(b, layer, in, tape);
    const moe::random_stream random(0, moe::stream_id("gaussian_noise"), 0);
    const double z[] = {0.9, 0.6, 0.3};
    double noisy[3];
    for (std::uint32_t e = 0; e < 3; ++e) noisy[e] = z[e] + 0.25 * random.normal(0, e);
    const auto phi = [](double u) { return 0.5 * std::erfc(-u / std::sqrt(2.0)); };
    std::vector<double> others, kth;
    for (int e = 0; e < 3; ++e) {
        double rival = -1e9;
        for (int j = 0; j < 3; ++j) rival = j == e ? rival : std::max(rival, noisy[j]);
        others.push_back(phi((z[e] - rival) / 0.25));
        kth.push_back(phi((z[e] - std::max({noisy[0], noisy[1], noisy[2]})) / 0.25));
    }
    CHECK(moe::load_cv2{.noise = {.sigma = 0.25}}(b, tape) == Approx(moe::detail::squared_cv(others)));
    CHECK(moe::load_cv2{.noise = {.sigma = 0.25}, .threshold = moe::load_threshold::kth}(b, tape) ==
          Approx(moe::detail::squared_cv(kth)));
}

TEST_CASE("the load loss is 0 at balance, for one expert, for no token and for K = E") {
    moe::reference b;
    moe::tape<double> tape;
    moe::batch<double> in;
    in.training = true;
    const auto x = moe::testing::random_matrix<double>(8, 5, 3);
    in.x = x;
    losses::record(b, noisy_layer<double>(1, 1, 0.5), in, tape);
    CHECK(moe::load_cv2{.noise = {.sigma = 0.5}}(b, tape) == 0.0);
    losses::record(b, noisy_layer<double>(3, 3, 0.5), in, tape);
    CHECK(moe::load_cv2{.k = 3, .noise = {.sigma = 0.5}}(b, tape) == 0.0);
    CHECK(losses::largest(tape.d.logits) == 0.0);
    in.x = moe::matrix_view<const double>(nullptr, 0, 5);
    losses::record(b, noisy_layer<double>(3, 1, 0.5), in, tape);
    CHECK(moe::load_cv2{.noise = {.sigma = 0.5}}(b, tape) == 0.0);

    // Four tokens, each far in favour of another expert.
    auto layer = noisy_layer<double>(4, 1, 0.5);
    moe::matrix<double> axes(4, 5);
    for (index_t t = 0; t < 4; ++t) axes(t, t) = 100.0;
    for (index_t e = 0; e < 4; ++e) {
        for (index_t d = 0; d < 5; ++d) layer.router().step<0>().weight(0, e, d) = e == d ? 1.0 : 0.0;
    }
    in.x = axes;
    losses::record(b, layer, in, tape);
    CHECK(moe::load_cv2{.noise = {.sigma = 0.5}}(b, tape) == Approx(0.0).margin(1e-12));
    CHECK(losses::largest(tape.d.logits) <= 1e-12);
}

TEST_CASE("the load loss has the same bits on every number of threads") {
    const auto x = moe::testing::random_matrix<float>(301, 5, 22);
    moe::batch<float> in;
    in.x = x;
    in.training = true;
    const auto layer = noisy_layer<float>(37, 3, 0.2);
    const moe::load_cv2 loss{.k = 3, .noise = {.sigma = 0.2}};
    moe::cpu one, three{{.threads = 3}};
    moe::tape<float> c1, c3;
    losses::record(one, layer, in, c1);
    losses::record(three, layer, in, c3);
    one.scratch().poison(0xCD);
    CHECK(loss(one, c1) == loss(three, c3));
    for (index_t t = 0; t < 301; ++t) {
        for (index_t e = 0; e < 37; ++e) REQUIRE(c1.d.logits(t, e) == c3.d.logits(t, e));
    }
}

TEST_CASE("the load loss names wrong options") {
    moe::reference b;
    moe::tape<double> tape;
    moe::batch<double> in;
    const auto x = moe::testing::random_matrix<double>(3, 5, 3);
    in.x = x;
    losses::record(b, noisy_layer<double>(3, 1, 0.5), in, tape);
    CHECK_THROWS_WITH(moe::load_cv2{.k = 0}(b, tape), "moe: load_cv2.k: wanted at least 1, got 0");
    CHECK_THROWS_WITH((moe::load_cv2{.noise = {.sigma = -1.0}}(b, tape)),
                      Catch::Contains("gaussian_noise.sigma"));
}
