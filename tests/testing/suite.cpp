// For every law a part that only this law catches, with the smallest input that shows it, word for word.
#include <stdexcept>

#include "testing/broken.hpp"

namespace {

void shows(const moe::testing::report& found, const std::string& wanted) { CHECK(found.text() == wanted); }

struct best_twice : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t) { return true; });
        for (index_t t = 0; t < s.tokens() && s.keys.cols > 1; ++t)
            c.expert[std::size_t(2 * t + 1)] = c.expert[std::size_t(2 * t)];
    }
};

struct blind_to_exclusion : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t) { return true; });
        for (index_t t = 0; t < s.tokens(); ++t) {
            index_t& first = c.expert[std::size_t(c.offset[std::size_t(t)])];
            if (first < 0) first = 0;
        }
    }
};

struct last_of_ties : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t) { return false; });
        for (index_t t = 0; t < s.tokens(); ++t) {
            index_t& first = c.expert[std::size_t(c.offset[std::size_t(t)])];
            for (index_t e = 0; e < s.keys.cols && first >= 0; ++e)
                first = s.keys(t, e) == s.keys(t, first) ? e : first;
        }
    }
};

struct shy_of_large_keys : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t) { return false; });
        for (index_t t = 0; t < s.tokens(); ++t) {
            index_t& first = c.expert[std::size_t(c.offset[std::size_t(t)])];
            if (first >= 0 && s.keys(t, first) > 3) first = -1;
        }
    }
};

struct fond_of_expert_0 : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t best) { return best == 0; });
    }
};

struct coupled : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        const bool crowded = any_above(s, T(1), [&](index_t t) { return s.in().live(t); });
        take(s, c, [&](index_t, index_t) { return !crowded; });
    }
};
struct looks_ahead : coupled {
    static constexpr bool batch_coupled = true;
};
struct reads_padding : best_two {
    static constexpr bool causal = false;
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        const bool crowded = any_above(s, T(1), [](index_t) { return true; });
        take(s, c, [&](index_t, index_t) { return !crowded; });
    }
};

struct every_other_token : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [&](index_t t, index_t) { return (s.in().first_token + std::uint64_t(t)) % 2 == 0; });
    }
};

struct secretly_random : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [&](index_t, index_t) { return s.in().seed % 2 == 0; });
    }
};

struct reads_unwritten : best_two {
    template <class B, class T>
    void forward(B& b, const moe::routing<T>& s, moe::choice c) const {
        const auto garbage = b.scratch().template take<unsigned char>(1);
        take(s, c, [&](index_t, index_t) { return (garbage[0] & 64) == 0; });
    }
};

template <class Error>
struct afraid_of_nan : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        for (index_t t = 0; t < s.tokens(); ++t) {
            if (std::isnan(s.keys(t, 0))) throw Error("a key is NaN");
        }
        take(s, c, [](index_t, index_t) { return true; });
    }
};

struct other_on_cpu : best_two {
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t) { return std::is_same_v<B, moe::reference>; });
    }
};

struct over_announced : best_two {
    template <class T>
    std::int64_t max_routes(const moe::batch<T>& in, index_t) const {
        return in.tokens();
    }
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::ragged_choice c) const {
        for (index_t t = 0; t <= s.tokens(); ++t) c.offset[std::size_t(t)] = 2 * t;
    }
};

// The parts below act on scores.
struct square_root {
    template <class T>
    static T value(T z, bool) {
        return std::sqrt(z);
    }
    template <class T>
    static T slope(T z) {
        return T(0.5) / std::sqrt(z);
    }
};
struct cut_low {
    template <class T>
    static T value(T z, bool) {
        return z < T(-1) ? -std::numeric_limits<T>::infinity() : z;
    }
    template <class T>
    static T slope(T z) {
        return z < T(-1) ? T(0) : T(1);
    }
};
struct same_value {
    template <class T>
    static T value(T z, bool) {
        return z;
    }
    template <class T>
    static T slope(T) {
        return T(1);
    }
};
struct half_a_gradient {
    template <class T>
    static T value(T z, bool) {
        return z * z;
    }
    template <class T>
    static T slope(T z) {
        return z;
    }
};
struct other_when_recorded {
    template <class T>
    static T value(T z, bool recording) {
        return recording ? z + T(1) : z;
    }
    template <class T>
    static T slope(T) {
        return T(1);
    }
};
struct claims_sign : each_score<same_value> {
    static constexpr bool non_negative = true;
};
struct claims_sum : each_score<same_value> {
    static constexpr bool sums_to_one = true;
};

struct turns_slots {
    using role = moe::route_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        for (index_t t = 0; t < s.tokens(); ++t) {
            std::reverse(c.expert.begin() + c.offset[std::size_t(t)], c.expert.begin() + c.offset[std::size_t(t) + 1]);
        }
    }
};

struct one_too_many {
    using role = moe::route_step;
    static constexpr bool batch_coupled = true, token_equivariant = false;
    moe::capacity_options options{.count = 1};

    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        std::vector<index_t> taken(std::size_t(s.experts), 0);
        for (index_t& e : c.expert) {
            if (e >= 0 && taken[std::size_t(e)]++ > *options.count) e = -1;
        }
    }
};

struct squares {
    using role = moe::combine_part;
    index_t outputs(index_t n) const { return n; }

    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, const moe::plan_view& plan, moe::input_view<T> rows,
                 moe::matrix_view<T> y) const {
        for (index_t t = 0; t < y.rows; ++t) std::fill(y.row(t), y.row(t) + y.cols, T(0));
        for (index_t r = 0; r < rows.rows; ++r) {
            const T w = s.routes.weight[std::size_t(plan.slot[std::size_t(r)])];
            for (index_t j = 0; j < y.cols; ++j) y(plan.token[std::size_t(r)], j) += w * rows(r, j) * rows(r, j);
        }
    }
    template <class B, class T>
    void backward(B&, const moe::routing<T>& s, const moe::plan_view& plan, moe::input_view<T> rows,
                  moe::input_view<T> dy, moe::matrix_view<T> d_rows, moe::adjoint<T>& d) const {
        for (index_t r = 0; r < rows.rows; ++r) {
            const std::size_t slot = std::size_t(plan.slot[std::size_t(r)]);
            for (index_t j = 0; j < dy.cols; ++j) {
                const T up = dy(plan.token[std::size_t(r)], j);
                d_rows(r, j) = 2 * s.routes.weight[slot] * rows(r, j) * up;
                d.weight[slot] += rows(r, j) * rows(r, j) * up;
            }
        }
    }
};

// 0 times the NaN of a masked row.
struct half_squares_by_factor {
    template <class B, class T>
    double operator()(B&, moe::tape<T>& tape) const {
        const auto& s = tape.routing();
        double sum = 0;
        for (index_t t = 0; t < s.tokens(); ++t) {
            const T factor = s.in().live(t) ? T(1) : T(0);
            for (index_t e = 0; e < s.logits.cols; ++e) {
                const T z = s.logits(t, e);
                if (s.in().live(t)) sum += double(z * z / 2);
                tape.d.logits(t, e) += factor * z;
            }
        }
        return sum;
    }
};

struct needs_no_exception : best_two {
    static constexpr bool causal = false, stochastic = true, token_equivariant = false, expert_equivariant = false,
                          monotone = false;
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        take(s, c, [](index_t, index_t) { return true; });
    }
};
struct needs_no_estimate : each_score<same_value> {
    static constexpr bool excludes = true, surrogate_gradient = true;
};

}  // namespace

TEST_CASE("faults in a choice are found and shrunk") {
    shows(laws(best_twice{}),
          "the part breaks 1 law\n"
          "ids: token 0 has expert 0 twice\n"
          "    tokens = 1; experts = 2;\n"
          "    keys = {{0, 0}};\n"
          "    seed = 1;\n");
    shows(laws(blind_to_exclusion{}),
          "the part breaks 1 law\n"
          "exclusion: token 0 got expert 0, which its key of -inf excludes\n"
          "    tokens = 1; experts = 1;\n"
          "    keys = {{-inf}};\n"
          "    seed = 1;\n");
    shows(laws(last_of_ties{}),
          "the part breaks 1 law\n"
          "rank: token 0 got expert 1 of key 0 and not expert 0 of key 0\n"
          "    tokens = 1; experts = 2;\n"
          "    keys = {{0, 0}};\n"
          "    seed = 1;\n");
    shows(laws(shy_of_large_keys{}),
          "the part breaks 1 law\n"
          "monotony: raising the key of expert 0 to 4 loses it for token 0\n"
          "    tokens = 1; experts = 1;\n"
          "    keys = {{1}};\n"
          "    seed = 1;\n");
    shows(laws(fond_of_expert_0{}),
          "the part breaks 1 law\n"
          "expert order: with the experts in the order {1, 0}, token 0: {1} became {0, 1}\n"
          "    tokens = 1; experts = 2;\n"
          "    keys = {{0, 1}};\n"
          "    seed = 1;\n");
    shows(laws(over_announced{}),
          "the part breaks 1 law\n"
          "accepts: more routes than max_routes (token 0)\n"
          "    tokens = 1; experts = 1;\n"
          "    keys = {{0}};\n"
          "    seed = 1;\n");
}

TEST_CASE("influence between tokens is found and shrunk") {
    shows(laws(coupled{}),
          "the part breaks 1 law\n"
          "isolation: 40 in token 0 changed token 1: {0, 1} became {0}\n"
          "    tokens = 2; experts = 2;\n"
          "    keys = {{0, 0}, {0, 0}};\n"
          "    seed = 1;\n");
    shows(laws(looks_ahead{}),
          "the part breaks 1 law\n"
          "causality: 40 in token 1 changed token 0: {0, 1} became {0}\n"
          "    tokens = 2; experts = 2;\n"
          "    keys = {{0, 0}, {0, 0}};\n"
          "    seed = 1;\n");
    shows(laws(reads_padding{}),
          "the part breaks 1 law\n"
          "mask: NaN in masked token 1 changed token 0: {0} became {0, 1}\n"
          "    tokens = 2; experts = 2;\n"
          "    keys = {{0, 0}, {0, 2}};\n"
          "    mask = {1, 0};\n"
          "    seed = 1;\n");
    shows(laws(every_other_token{}),
          "the part breaks 1 law\n"
          "token order: with the tokens in the order {1, 0}, token 1: {1} became {1, 0}\n"
          "    tokens = 2; experts = 2;\n"
          "    keys = {{0, 1}, {2, 3}};\n"
          "    seed = 1;\n");
}

TEST_CASE("results that hang on more than the input are found and shrunk") {
    shows(laws(secretly_random{}),
          "the part breaks 1 law\n"
          "seed: another seed gave another result: token 0: {0} became {0, 1}\n"
          "    tokens = 1; experts = 2;\n"
          "    keys = {{0, 0}};\n"
          "    seed = 1;\n");
    shows(laws(reads_unwritten{}),
          "the part breaks 1 law\n"
          "reproducible: a second call, in memory that held other bytes, gave another result: token 0: {0} became {0, "
          "1}\n"
          "    tokens = 1; experts = 2;\n"
          "    keys = {{0, 0}};\n"
          "    seed = 1;\n");
    shows(laws(each_score<other_when_recorded>{}),
          "the part breaks 1 law\n"
          "taped: recording changed the result: 0 became 1\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{0}};\n"
          "    seed = 1;\n");
    shows(laws(afraid_of_nan<std::runtime_error>{}),
          "the part breaks 1 law\n"
          "accepts: throws: a key is NaN\n"
          "    tokens = 1; experts = 1;\n"
          "    keys = {{nan}};\n"
          "    seed = 1;\n");
    shows(laws(afraid_of_nan<moe::value_error>{}),
          "the part breaks 1 law\n"
          "accepts: refuses these values: a key is NaN\n"
          "    tokens = 1; experts = 1;\n"
          "    keys = {{nan}};\n"
          "    seed = 1;\n");
    moe::cpu cpu;
    shows(laws(other_on_cpu{}, {}, cpu),
          "the part breaks 1 law\n"
          "backends: on backend 1, token 0: {0, 1} became {0}\n"
          "    tokens = 1; experts = 2;\n"
          "    keys = {{0, 0}};\n"
          "    seed = 1;\n");
}

TEST_CASE("wrong values and gradients are found and shrunk") {
    shows(laws(each_score<square_root>{}),
          "the part breaks 1 law\n"
          "finite: token 0 got nan\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{-1}};\n"
          "    seed = 1;\n");
    shows(laws(each_score<cut_low>{}),
          "the part breaks 1 law\n"
          "exclusion: token 0 got -inf, which excludes an expert\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{-1.25}};\n"
          "    seed = 1;\n");
    shows(laws(claims_sign{}),
          "the part breaks 1 law\n"
          "sign: token 0 got -1, declared non_negative\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{-1}};\n"
          "    seed = 1;\n");
    shows(laws(claims_sum{}),
          "the part breaks 1 law\n"
          "sum: token 0 got {0} with the sum 0, declared sums_to_one\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{0}};\n"
          "    seed = 1;\n");
    shows(laws(each_score<half_a_gradient>{}),
          "the part breaks 1 law\n"
          "gradient: d/d scores[0] is 1, the central difference 2\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{1}};\n"
          "    seed = 1;\n");
    shows(laws(squares{}),
          "the part breaks 1 law\n"
          "linearity: f(x + z) is 9, f(x) + f(z) - f(0) is 5 for an element of token 0\n"
          "    tokens = 1; experts = 1;\n"
          "    weights = {{1}};\n"
          "    rows = {{0, 0, 1, 0, 0, 0}};\n"
          "    2 slots, expert = {0, -1};\n"
          "    seed = 1;\n");
    shows(laws(half_squares_by_factor{}),
          "the part breaks 1 law\n"
          "mask of the gradient: masked token 0 has the gradient nan\n"
          "    tokens = 1; experts = 1;\n"
          "    logits = {{0}};\n"
          "    scores = {{0, 0, 0, 0, 0}};\n"
          "    2 slots, expert = {-1, -1};\n"
          "    mask = {0};\n"
          "    seed = 1;\n");
}

TEST_CASE("faults of route steps are found and shrunk") {
    shows(laws(turns_slots{}),
          "the part breaks 1 law\n"
          "drops only: token 0: expert -1 became 0\n"
          "    tokens = 1; experts = 1;\n"
          "    scores = {{0}};\n"
          "    2 slots, expert = {0, -1};\n"
          "    seed = 1;\n");
    shows(laws(one_too_many{}),
          "the part breaks 1 law\n"
          "capacity: expert 0 has 2 routes and room for 1\n"
          "    tokens = 2; experts = 1;\n"
          "    scores = {{0}, {0}};\n"
          "    2 slots, expert = {0, -1, -1, 0};\n"
          "    seed = 1;\n");
}

TEST_CASE("a declared exception that no input needs is reported") {
    shows(laws(needs_no_exception{}),
          "the part breaks 6 laws\n"
          "isolation: declares batch_coupled, but no input was found whose tokens influence one another\n"
          "causality: declares causal = false, but no input was found in which a later token changes an earlier one\n"
          "token order: declares token_equivariant = false, but no input was found for which permuting the tokens does "
          "not permute the result\n"
          "expert order: declares expert_equivariant = false, but no input was found for which permuting the experts "
          "does not permute the result\n"
          "monotony: declares monotone = false, but no input was found in which raising a key loses the expert\n"
          "seed: declares stochastic, but no input was found for which another seed gives another result\n");
    shows(laws(needs_no_estimate{}),
          "the part breaks 2 laws\n"
          "exclusion: declares excludes, but no input was found for which it writes -inf\n"
          "gradient: declares surrogate_gradient, but no input was found whose gradient differs from the central "
          "difference\n");
}

TEST_CASE("a report reads well when there is nothing to report") {
    shows(laws(moe::top_k{.k = 2}), "top_k keeps its laws\n");
    CHECK(moe::testing::report{} == no_violations);
}
