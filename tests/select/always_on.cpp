#include "moe/select/always_on.hpp"

#include "moe/select/expert_choice.hpp"
#include "moe/select/top_k.hpp"
#include "moe/select/top_p.hpp"
#include "select/hand.hpp"

TEST_CASE("always_on joins its experts with the chosen ones, once") {
    const std::vector<std::vector<double>> keys = {{0.1, 0.9, 0.5, 0.3}, {0.8, 0.1, 0.2, 0.7}};
    CHECK(chosen_by(moe::always_on{moe::top_k{.k = 2}, {.experts = {3, 1}}}, keys).expert ==
          ids{1, 2, 3, -1, 0, 3, -1, 1});
    CHECK(chosen_by(moe::always_on{moe::top_p{.p = 0.6}, {.experts = {0}}}, keys).offset == ids{0, 2, 4});
}

TEST_CASE("hidden experts are out of the selector's sight") {
    const std::vector<std::vector<double>> keys = {{0.1, 0.9, 0.5, 0.3}, {0.8, 0.1, 0.2, 0.7}};
    CHECK(chosen_by(moe::always_on{moe::top_k{.k = 2}, {.experts = {1}, .hidden = true}}, keys).expert ==
          ids{2, 3, 1, 0, 3, 1});
}

TEST_CASE("an excluded expert is not always on, and a masked token gets none") {
    const double inf = std::numeric_limits<double>::infinity();
    const std::uint8_t mask[2] = {1, 0};
    moe::batch<double> in;
    in.mask = mask;
    CHECK(chosen_by(moe::always_on{moe::top_k{.k = 1}, {.experts = {1, 2}}}, {{3, -inf, 1}, {1, 2, 3}}, in).expert ==
          ids{0, -1, 2, -1, -1, -1});
}

TEST_CASE("always_on names the expert that is wrong and passes on the selector's check") {
    const moe::batch<float> in;
    CHECK_THROWS_WITH((moe::always_on{moe::top_k{}, {.experts = {1, 4}}}.check(in, 4, 4)),
                      "moe: always_on.experts[1]: wanted 0 to 3, got 4");
    CHECK_THROWS_WITH((moe::always_on{moe::top_k{}, {.experts = {1, 1}}}.check(in, 4, 4)),
                      "moe: always_on.experts[1]: wanted an expert that is not given yet, got 1");
    CHECK_THROWS_WITH((moe::always_on{moe::top_k{.k = 0}, {}}.check(in, 4, 4)),
                      "moe: top_k.k: wanted at least 1, got 0");
}
