// tests/testing: inputs for the comparison of the reference backend with the oracle, and one step run alone
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/moe.hpp"
#include "moe/testing/oracle.hpp"
#include "moe/testing/random.hpp"
#include "support/catch.hpp"

namespace oracle = moe::testing::oracle;

inline oracle::table values(moe::matrix_view<const double> m) {
    oracle::table out;
    for (moe::index_t i = 0; i < m.rows; ++i) out.emplace_back(m.row(i), m.row(i) + m.cols);
    return out;
}
inline oracle::table values(const moe::matrix<std::uint8_t>& m) {
    oracle::table out;
    for (moe::index_t i = 0; i < m.rows(); ++i) out.emplace_back(m.view().row(i), m.view().row(i) + m.cols());
    return out;
}
inline oracle::stack values(const moe::panels<double>& w) {
    oracle::stack out;
    for (moe::index_t g = 0; g < w.groups(); ++g) {
        moe::matrix<double> m(w.outputs(), w.inputs());
        w.read(g, m.view());
        out.push_back(values(m.view()));
    }
    return out;
}
inline oracle::row first_row(const moe::matrix<double>& m) {
    return m.size() == 0 ? oracle::row{} : values(m.view())[0];
}

// NaN equals NaN, an infinity itself.
inline bool close(double a, double b, double tolerance = 1e-12) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    return a == b || std::abs(a - b) <= tolerance * (1.0 + std::abs(b));
}
inline bool close(const oracle::row& a, const oracle::row& b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [](double v, double w) { return close(v, w); });
}

enum class kind { normal, ties, odd, equal, none, tiny, large };
inline constexpr kind every_kind[] = {kind::normal, kind::ties, kind::odd,  kind::equal,
                                      kind::none,   kind::tiny, kind::large};

inline double entry(kind how, const moe::random_stream& random, moe::index_t t, moe::index_t e) {
    const auto i = std::uint64_t(t);
    const auto j = std::uint32_t(e);
    const double odd[] = {-oracle::infinity, oracle::infinity, std::nan(""), -0.0, 0.0, 1e-310};
    if (how == kind::ties) return double(random.words(i, j)[0] % 3u) - 1.0;
    if (how == kind::odd && random.words(i, j)[0] % 3u == 0) return odd[random.words(i, j)[1] % 6u];
    if (how == kind::equal) return 0.25;
    if (how == kind::none) return -oracle::infinity;
    return random.normal(i, j) * (how == kind::tiny ? 1e-3 : how == kind::large ? 300.0 : 1.0);
}

// A batch of 9 tokens, 6 features and 6 experts, with everything a step may ask for.
struct problem {
    static constexpr moe::index_t tokens = 9, experts = 6;

    moe::matrix<double> z{tokens, experts}, x, side;
    std::vector<std::uint8_t> mask;
    std::vector<moe::index_t> label, token, sequence{0, 4, 4, 9}, replay_offset, replay_expert;
    moe::batch<double> in;

    explicit problem(kind how, bool masked = false, std::uint64_t seed = 1)
        : x(moe::testing::random_matrix<double>(tokens, experts, seed + 50)),
          side(moe::testing::random_matrix<double>(tokens, experts, seed + 60)) {
        const moe::random_stream random(seed, moe::stream_id("tests.oracle"));
        for (moe::index_t t = 0; t < tokens; ++t) {
            for (moe::index_t e = 0; e < experts; ++e) z(t, e) = entry(how, random, t, e);
            mask.push_back(t % 4 == 2 ? 0 : 1);
            label.push_back(masked && t % 4 == 2 ? -7 : t % 3);
            token.push_back(t * 5 % 4);
            replay_offset.push_back(2 * t);
            replay_expert.insert(replay_expert.end(), {t % 6, t % 2 == 0 ? -1 : (t + 3) % 6});
        }
        replay_offset.push_back(2 * tokens);
        in.x = in.features = x;
        in.side = side;
        in.label = label;
        in.token_id = token;
        in.sequence = sequence;
        if (masked) in.mask = mask;
        in.seed = 3;
        in.step = 5;
        in.first_token = 100;
        in.training = true;
    }
    problem(const problem&) = delete;

    bool live(oracle::id t) const { return in.live(moe::index_t(t)); }
    moe::random_stream stream(const char* name) const { return {in.seed, moe::stream_id(name), in.step}; }

    // What a step draws: f(stream, global token, column) for every token and column.
    template <class F>
    oracle::table draws(const char* name, const F& f, moe::index_t columns = experts) const {
        oracle::table out;
        for (moe::index_t t = 0; t < tokens; ++t) {
            out.emplace_back();
            for (moe::index_t e = 0; e < columns; ++e) {
                out.back().push_back(f(stream(name), in.first_token + std::uint64_t(t), std::uint32_t(e)));
            }
        }
        return out;
    }
};
inline double normal(const moe::random_stream& r, std::uint64_t t, std::uint32_t e) { return r.normal(t, e); }
inline double uniform(const moe::random_stream& r, std::uint64_t t, std::uint32_t e) { return r.uniform(t, e); }
inline double gumbel(const moe::random_stream& r, std::uint64_t t, std::uint32_t e) { return r.gumbel(t, e); }

// What steps see of a problem: z as logits, scores and keys.
struct seen {
    moe::arena memory;
    moe::routing<double> s;

    explicit seen(const problem& p) {
        s.batch_of_call = &p.in;
        s.experts = problem::experts;
        s.logits = s.scores = s.keys = p.z;
        s.memory = &memory;
    }
};

template <class Step>
void check_options(const Step& step, const problem& p, moe::index_t experts = problem::experts) {
    if constexpr (requires { step.check(p.in, experts, experts); }) step.check(p.in, problem::experts, experts);
}
