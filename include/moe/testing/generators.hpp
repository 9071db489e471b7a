// testing/generators: hostile and plain inputs for routers, the same on every machine
// SPDX-License-Identifier: Apache-2.0
//
//     scores_of(kind, T, E, seed)        scores, logits or keys [T,E] of one kind
//     zipf_choice(T, E, k, s, seed)      k distinct experts per token; r is the first choice with p ~ 1 / (r + 1)^s
//     samples_of(shape, seed)            the inputs on which laws are tried: every kind, size, mask and cut
//
// Zipf's law by the Gumbel trick: the k largest of -s ln(r + 1) + Gumbel noise are k draws without replacement.
#pragma once

#include <cstring>
#include <limits>

#include "moe/core/batch.hpp"
#include "moe/core/rng.hpp"
#include "moe/testing/sample.hpp"

MOE_BEGIN
namespace testing {

enum class score_kind {
    distinct,     // no two alike, multiples of a power of two: sums are exact in any order
    probability,  // the same, between 0 and 1
    normal,       // standard normal
    ties,         // -1, 0 and 1
    near_ties,    // 1 and its neighbours, one unit in the last place apart
    one_hot,      // one expert far above the others
    uniform,      // all equal
    zipf,         // logits whose softmax falls as 1 / (rank + 1)
    denormal,     // smaller than the smallest normal number, of both signs
    special,      // half of them -inf, inf, NaN and -0
    bits,         // any bit pattern
    excluded,     // all -inf
};
inline constexpr int score_kinds = 12;

namespace detail {

// Distinct values in a random order, with room between them.
inline void fill_distinct(table& t, const random_stream& random, bool positive) {
    std::vector<index_t> at = counted(index_t(t.values.size()));
    for (std::size_t i = at.size(); i > 1; --i) std::swap(at[i - 1], at[random.words(i, 7)[0] % i]);
    double step = 1.0 / 32;
    while (positive && step * (static_cast<double>(at.size()) + 1) >= 1.0) step /= 2;
    while (!positive && step * static_cast<double>(at.size()) > 8.0) step /= 2;
    const double middle = positive ? -1.0 : static_cast<double>(at.size() / 2);
    for (std::size_t i = 0; i < at.size(); ++i) t.values[i] = (static_cast<double>(at[i]) - middle) * step;
}

inline double any_bits(const random_stream& random, std::uint64_t t, std::uint32_t e) {
    const auto words = random.words(t, e);
    float value;
    std::memcpy(&value, words.data(), sizeof(value));
    return static_cast<double>(value);
}

inline double special_value(std::uint32_t word, double otherwise) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    const double odd[4] = {-inf, inf, std::numeric_limits<double>::quiet_NaN(), -0.0};
    return word % 2 == 0 ? odd[word / 2 % 4] : otherwise;
}

}  // namespace detail

// Every float is also a double: `bits` and `denormal` are those of float.
inline table scores_of(score_kind kind, index_t tokens, index_t experts, std::uint64_t seed) {
    const random_stream random(seed, stream_id("testing.scores"), std::uint64_t(kind));
    table scores(tokens, experts);
    const auto fill = [&](const auto& value) {
        for (index_t t = 0; t < tokens; ++t) {
            for (index_t e = 0; e < experts; ++e) scores(t, e) = value(std::uint64_t(t), std::uint32_t(e));
        }
    };
    const auto word = [&](std::uint64_t t, std::uint32_t e) { return random.words(t, e)[0]; };
    switch (kind) {
        case score_kind::distinct:
            detail::fill_distinct(scores, random, false);
            break;
        case score_kind::probability:
            detail::fill_distinct(scores, random, true);
            break;
        case score_kind::normal:
            fill([&](auto t, auto e) { return random.normal(t, e); });
            break;
        case score_kind::ties:
            fill([&](auto t, auto e) { return double(word(t, e) % 3) - 1; });
            break;
        case score_kind::near_ties:
            fill([&](auto t, auto e) {
                return 1.0 + (double(word(t, e) % 3) - 1) * double(std::numeric_limits<float>::epsilon());
            });
            break;
        case score_kind::one_hot:
            fill([&](auto t, auto e) { return e == word(t, 1u << 20) % std::uint32_t(experts) ? 30.0 : 0.0; });
            break;
        case score_kind::uniform:
            fill([](auto, auto) { return 0.25; });
            break;
        case score_kind::zipf:
            fill([&](auto t, auto e) { return random.gumbel(t, e) - std::log(double(e) + 1); });
            break;
        case score_kind::denormal:
            fill([&](auto t, auto e) {
                return (double(word(t, e) % 7) - 3) * double(std::numeric_limits<float>::denorm_min());
            });
            break;
        case score_kind::special:
            fill([&](auto t, auto e) { return detail::special_value(word(t, e), random.normal(t, e)); });
            break;
        case score_kind::bits:
            fill([&](auto t, auto e) { return detail::any_bits(random, t, e); });
            break;
        case score_kind::excluded:
            fill([](auto, auto) { return -std::numeric_limits<double>::infinity(); });
            break;
    }
    return scores;
}

// k distinct experts for every token, best first, in slots t * k .. (t + 1) * k. `skew` 0 is uniform.
inline std::vector<index_t> zipf_choice(index_t tokens, index_t experts, index_t k, double skew, std::uint64_t seed) {
    const random_stream random(seed, stream_id("testing.zipf"));
    std::vector<index_t> chosen;
    std::vector<double> key(static_cast<std::size_t>(experts));
    for (index_t t = 0; t < tokens; ++t) {
        for (std::size_t e = 0; e < key.size(); ++e) {
            key[e] = random.gumbel(std::uint64_t(t), std::uint32_t(e)) - skew * std::log(static_cast<double>(e) + 1);
        }
        for (index_t i = 0; i < k; ++i) {
            const auto best = std::max_element(key.begin(), key.end());
            chosen.push_back(index_t(best - key.begin()));
            *best = -std::numeric_limits<double>::infinity();
        }
    }
    return chosen;
}

// What a part reads, and how large.
struct sample_shape {
    index_t experts = 0;   // columns of the scores; 0: none
    index_t features = 0;  // columns of x; 0: none
    index_t slots = 0;     // routes per token that are an input; 0: none
    side_kind side = side_kind::none;
    index_t token_ids = 5, labels = 2;
    index_t k = 0;            // routes per token of the call, in half of the inputs
    bool positive_x = false;  // x holds probabilities
    index_t most_tokens = 33;
    bool every_kind = true;  // false: for what takes long, distinct, normal, special and any bits alone
};

namespace detail {

inline sample sample_of(const sample_shape& shape, index_t tokens, score_kind kind, int variant, std::uint64_t seed) {
    sample s;
    s.tokens = tokens;
    s.experts = shape.experts;
    s.seed = seed;
    const bool hostile = kind >= score_kind::special;
    // What is no score stays plain where scores are hostile; alone, it takes the hostile part.
    const bool plain_x = shape.experts != 0 && hostile;
    s.scores = scores_of(kind, tokens, shape.experts, seed);
    s.x = scores_of(shape.positive_x ? score_kind::probability
                    : plain_x        ? score_kind::distinct
                                     : kind,
                    tokens, shape.features, seed + 1);
    s.side_is = shape.side;
    if (shape.side != side_kind::none) {
        s.side = scores_of(score_kind::probability, tokens, shape.side == side_kind::by_token ? tokens : shape.experts,
                           seed + 2);
    }
    s.slots = shape.slots;
    if (shape.slots != 0) s.expert = zipf_choice(tokens, shape.experts, shape.slots, 1.0, seed);
    for (std::size_t i = 0; i < s.expert.size(); ++i) {
        if (i % 7 == 5) s.expert[i] = -1;
    }
    for (index_t t = 0; t < tokens; ++t) {
        s.token_id.push_back(t * 7 % shape.token_ids);
        s.label.push_back(t % shape.labels);
        if (variant % 2 == 1) s.mask.push_back(t % 3 == 1 ? 0 : 1);
    }
    s.training = variant >= 2;
    if (variant >= 2) s.sequence = {0, tokens / 3, tokens / 3, tokens};
    if (variant == 1 || variant == 2) s.k = shape.k;
    return s;
}

}  // namespace detail

// Every kind on every size, with and without mask, sequences, training; the plain ones first.
inline std::vector<sample> samples_of(const sample_shape& shape, std::uint64_t seed) {
    std::vector<sample> all;
    for (int kind = 0; kind < score_kinds; ++kind) {
        const score_kind k = score_kind(kind);
        const bool few =
            k == score_kind::distinct || k == score_kind::normal || k == score_kind::special || k == score_kind::bits;
        if (!few && !shape.every_kind) continue;
        for (const index_t tokens : {2, 1, 5, 9, 33, 0}) {
            if (tokens > shape.most_tokens) continue;
            for (int variant = 0; variant < 4; ++variant) {
                all.push_back(detail::sample_of(shape, tokens, k, variant, seed));
            }
        }
    }
    return all;
}

}  // namespace testing
MOE_END
