#include "moe/select/first_and_second.hpp"

#include "select/hand.hpp"

using moe::second_expert;

namespace {

moe::matrix<double> log_of(const moe::matrix<double>& p) {
    moe::matrix<double> z = p;
    for (double& v : z.span()) v = std::log(v);
    return z;
}

// The experts of many tokens with the same probabilities; scores are probabilities, logits their logarithm.
moe::testing::chosen many(const moe::first_and_second& selector, const std::vector<double>& p, moe::index_t tokens,
                          const moe::batch<double>& given) {
    const auto keys = rows_of(std::vector<std::vector<double>>(std::size_t(tokens), p));
    const auto logits = log_of(keys);
    moe::reference backend;
    moe::batch<double> in = given;
    in.x = keys;
    moe::routing<double> s;
    s.batch_of_call = &in;
    s.experts = keys.cols();
    s.logits = logits;
    s.scores = s.keys = keys;
    moe::testing::chosen c{ids(std::size_t(tokens) + 1), ids(std::size_t(tokens) * 2)};
    for (std::size_t t = 0; t < c.offset.size(); ++t) c.offset[t] = moe::index_t(2 * t);
    selector.forward(backend, s, moe::choice{c.offset, c.expert});
    return c;
}

}  // namespace

TEST_CASE("first_and_second takes the two best outside of training, whatever its policy") {
    for (const auto policy : {second_expert::all, second_expert::sampling, second_expert::random}) {
        CHECK(chosen_by(moe::first_and_second{policy}, {{0.2, 0.5, 0.3}, {0.4, 0.2, 0.4}}).expert == ids{1, 2, 0, 2});
    }
}

TEST_CASE("the policy sampling draws the second expert from the softmax of the others") {
    moe::batch<double> in;
    in.training = true;
    const auto c = many({second_expert::sampling}, {0.1, 0.5, 0.3, 0.1}, 4000, in);
    double count[4] = {};
    for (moe::index_t t = 0; t < 4000; ++t) {
        CHECK(c.of(t)[0] == 1);
        ++count[c.of(t)[1]];
    }
    CHECK(count[1] == 0);
    CHECK(count[2] / 4000 == Approx(0.6).margin(0.03));
    CHECK(count[0] / 4000 == Approx(0.2).margin(0.03));
}

TEST_CASE("the policy random keeps the second expert with twice its probability") {
    moe::batch<double> in;
    in.training = true;
    const auto kept = [&](double second) {
        const auto c = many({second_expert::random}, {1 - second - 0.01, second, 0.01}, 4000, in);
        double n = 0;
        for (moe::index_t t = 0; t < 4000; ++t) n += c.of(t)[1] == 1 ? 1 : 0;
        return n / 4000;
    };
    CHECK(kept(0.2) == Approx(0.4).margin(0.03));
    CHECK(kept(0.05) == Approx(0.1).margin(0.03));
    CHECK(kept(0.49) == Approx(0.98).margin(0.01));
}

TEST_CASE("draws depend on seed, step and global token, not on the batch") {
    moe::batch<double> in;
    in.training = true;
    const moe::first_and_second selector{second_expert::sampling};
    const std::vector<double> p = {0.2, 0.3, 0.2, 0.3};
    const auto all = many(selector, p, 40, in);
    in.first_token = 30;
    const auto last = many(selector, p, 10, in);
    for (moe::index_t t = 0; t < 10; ++t) CHECK(last.ids(t) == all.ids(t + 30));
    in.first_token = 0;
    in.step = 1;
    CHECK(many(selector, p, 40, in) != all);
    in.step = 0;
    in.seed = 1;
    CHECK(many(selector, p, 40, in) != all);
}

TEST_CASE("first_and_second names what is wrong") {
    CHECK_THROWS_WITH((moe::first_and_second{}.check(moe::batch<float>{}, 1, 1)),
                      "moe: first_and_second: experts: wanted at least 2, got 1");
    moe::batch<float> in;
    in.k = 3;
    CHECK_THROWS_WITH((moe::first_and_second{}.check(in, 4, 4)), "moe: batch.k: wanted 2 (first_and_second), got 3");
}
