// For the laws of replay and of kept exclusion a part that only this law catches, as in suite.cpp.
// SPDX-License-Identifier: Apache-2.0
#include "testing/broken.hpp"

namespace {

struct lets_back_in {
    template <class T>
    static T value(T z, bool) {
        return z == -std::numeric_limits<T>::infinity() ? T(-8) : z;
    }
    template <class T>
    static T slope(T) {
        return T(1);
    }
};
struct claims_exclusion : each_score<lets_back_in> {
    static constexpr bool keeps_excluded = true;
};

// Weighs by what it remembers of its own choice; a replay makes none.
struct remembers : best_two {
    mutable bool chosen = false;

    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t) { return false; });
        chosen = true;
    }
    template <class B, class T>
    void weigh(B&, const moe::routing<T>&, std::span<T> weight) const {
        std::fill(weight.begin(), weight.end(), chosen ? T(1) : T(2));
        chosen = false;
    }
    template <class B, class T>
    void backward(B&, const moe::routing<T>&, const moe::routing<T>&, moe::adjoint<T>&) const {}
};

}  // namespace

TEST_CASE("an excluded expert that comes back against a promise is found and shrunk") {
    CHECK(laws(claims_exclusion{}).text() ==
          "the part breaks 1 law\n"
          "exclusion: token 0 got -8 for -inf, declared keeps_excluded\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{-inf}};\n"
          "    seed = 1;\n");
}

TEST_CASE("a choice that cannot be replayed is found and shrunk") {
    const moe::linear_gate<double> gate{{.features = 1, .experts = 1}};
    CHECK(laws(moe::router{gate, remembers{}}).text() ==
          "the part breaks 1 law\n"
          "replay: the recorded choice, given back, led elsewhere: token 0: weight 1 became 2\n"
          "    tokens = 1;\n"
          "    x = {{0}};\n"
          "    seed = 1;\n");
}
