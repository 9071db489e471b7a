#include "moe/train/group_mutual_information.hpp"

#include "train/losses.hpp"

using losses::index_t;

TEST_CASE("group mutual information is right by central differences, with a mask and an empty group") {
    moe::reference b;
    const auto x = moe::testing::random_matrix<double>(7, 5, 21);
    const std::vector<index_t> label{0, 2, 2, 0, 3, -1, 2};
    const std::vector<std::uint8_t> mask{1, 1, 0, 1, 1, 1, 1};
    for (const auto from : {moe::probabilities::scores, moe::probabilities::softmax_of_logits}) {
        auto layer = losses::layer_of<double>(4, 2);
        moe::batch<double> in;
        in.x = x;
        in.label = label;
        const moe::group_mutual_information loss{.coefficient = 0.7, .groups = 4, .from = from};
        for (int masked = 0; masked < 2; ++masked) {
            if (masked == 1) in.mask = mask;
            const auto report = moe::testing::check_gradients(b, layer, in, loss);
            CHECK(report.worst <= difference_tolerance);
        }
    }
}

TEST_CASE("group mutual information is -ln 2 for two groups with an expert each and 0 for groups alike") {
    moe::reference b;
    moe::tape<double> tape;
    auto layer = losses::layer_of<double>(2, 1);
    for (index_t e = 0; e < 2; ++e) {
        for (index_t d = 0; d < 5; ++d) layer.router().step<0>().weight(0, e, d) = e == d ? 1.0 : 0.0;
    }
    moe::matrix<double> x(3, 5);
    x(0, 0) = 1000.0, x(1, 1) = 1000.0, x(2, 1) = 1000.0;
    const std::vector<index_t> apart{0, 1, 1};
    moe::batch<double> in;
    in.x = x;
    in.label = apart;
    losses::record(b, layer, in, tape);
    CHECK(moe::group_mutual_information{.groups = 2}(b, tape) == Approx(-std::log(2.0)));
    CHECK(moe::group_mutual_information{.groups = 1}(b, tape) == Approx(0.0).margin(1e-15));
    CHECK(std::isfinite(losses::largest(tape.d.scores)));
    in.label = {};
    losses::record(b, layer, in, tape);
    CHECK_THROWS_WITH(moe::group_mutual_information{}(b, tape),
                      "moe: group_mutual_information.label: wanted batch.label [T], got a batch without labels");
    CHECK_THROWS_WITH(moe::group_mutual_information{.groups = 0}(b, tape),
                      "moe: group_mutual_information.groups: wanted at least 1, got 0");
}
