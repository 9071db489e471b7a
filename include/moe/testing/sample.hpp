// testing/sample: one input of a part as plain numbers: what laws vary, shrink and print
// SPDX-License-Identifier: Apache-2.0
//
// Numbers are double, whatever the part computes in. Which table a part reads is the business of its role
// (subject.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "moe/core/view.hpp"

MOE_BEGIN
namespace testing {

// A matrix that can lose rows and columns.
struct table {
    index_t rows = 0, cols = 0;
    std::vector<double> values;

    table() = default;
    table(index_t r, index_t c, double value = 0.0)
        : rows(r), cols(c), values(std::size_t(r) * std::size_t(c), value) {}

    double& operator()(index_t r, index_t c) { return values[std::size_t(r) * std::size_t(cols) + std::size_t(c)]; }
    double operator()(index_t r, index_t c) const {
        return values[std::size_t(r) * std::size_t(cols) + std::size_t(c)];
    }

    // The rows and columns at the given places, in this order.
    table picked(const std::vector<index_t>& r, const std::vector<index_t>& c) const {
        table t(index_t(r.size()), index_t(c.size()));
        for (index_t i = 0; i < t.rows; ++i) {
            for (index_t j = 0; j < t.cols; ++j) t(i, j) = (*this)(r[std::size_t(i)], c[std::size_t(j)]);
        }
        return t;
    }
    table picked_rows(const std::vector<index_t>& r) const {
        std::vector<index_t> all;
        for (index_t j = 0; j < cols; ++j) all.push_back(j);
        return picked(r, all);
    }
    void set_row(index_t r, double value) {
        for (index_t j = 0; j < cols; ++j) (*this)(r, j) = value;
    }
};

enum class side_kind { none, by_expert, by_token };

struct sample {
    index_t tokens = 0, experts = 0;
    table x;       // [T,D] features, or rows of slots [T, slots * D] for a combine
    table scores;  // [T,E] scores, logits or keys
    table side;    // [T,E] or [T,T]
    side_kind side_is = side_kind::none;
    index_t slots = 0;               // routes per token, where routes are an input
    std::vector<index_t> expert;     // [T * slots] -1 = dead
    std::vector<std::uint8_t> mask;  // [T] or empty
    std::vector<index_t> sequence;   // or empty
    std::vector<index_t> token_id, label;
    index_t k = 0;
    std::uint64_t first_token = 0, step = 0, seed = 0;
    bool training = false;

    bool live(index_t t) const { return mask.empty() || mask[std::size_t(t)] != 0; }

    // The tokens at these places, in this order, as a batch. Sequences are forgotten unless all tokens stay in place.
    sample with_tokens(const std::vector<index_t>& at) const {
        sample s = *this;
        s.tokens = index_t(at.size());
        s.x = x.picked_rows(at);
        s.scores = scores.picked_rows(at);
        s.side = side_is == side_kind::by_token ? side.picked(at, at) : side.picked_rows(at);
        s.expert.clear();
        s.mask.clear();
        s.token_id.clear();
        s.label.clear();
        for (const index_t t : at) {
            for (index_t i = 0; i < slots; ++i) s.expert.push_back(expert[std::size_t(t * slots + i)]);
            if (!mask.empty()) s.mask.push_back(mask[std::size_t(t)]);
            if (!token_id.empty()) s.token_id.push_back(token_id[std::size_t(t)]);
            if (!label.empty()) s.label.push_back(label[std::size_t(t)]);
        }
        s.sequence.clear();
        return s;
    }

    // The experts at these places, in this order; routes to others become dead.
    sample with_experts(const std::vector<index_t>& at) const {
        sample s = *this;
        s.experts = index_t(at.size());
        std::vector<index_t> all;
        for (index_t t = 0; t < tokens; ++t) all.push_back(t);
        s.scores = scores.picked(all, at);
        if (side_is == side_kind::by_expert) s.side = side.picked(all, at);
        for (index_t& e : s.expert) {
            const auto place = std::find(at.begin(), at.end(), e);
            e = place == at.end() ? -1 : index_t(place - at.begin());
        }
        return s;
    }
};

inline std::vector<index_t> counted(index_t n, index_t without = -1) {
    std::vector<index_t> at;
    for (index_t i = 0; i < n; ++i) {
        if (i != without) at.push_back(i);
    }
    return at;
}
inline std::vector<index_t> reversed(index_t n) {
    std::vector<index_t> at = counted(n);
    std::reverse(at.begin(), at.end());
    return at;
}

inline std::vector<index_t> rotated(index_t n) {
    std::vector<index_t> at = counted(n);
    if (n > 1) std::rotate(at.begin(), at.begin() + 1, at.end());
    return at;
}

// The shortest decimal that reads back as the same double.
inline std::string number_text(double v) {
    if (std::isnan(v)) return "nan";
    if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
    std::array<char, 32> text{};
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), v).ptr};
}

namespace detail {

template <class V>
std::string list_text(const V& values) {
    std::string text = "{";
    for (std::size_t i = 0; i < values.size(); ++i) {
        text += (i == 0 ? "" : ", ") + number_text(static_cast<double>(values[i]));
    }
    return text + "}";
}

inline std::string table_text(const table& t) {
    std::string text = "{";
    for (index_t r = 0; r < t.rows; ++r) {
        const std::vector<double> row(t.values.begin() + r * t.cols, t.values.begin() + (r + 1) * t.cols);
        text += (r == 0 ? "" : ", ") + list_text(row);
    }
    return text + "}";
}

}  // namespace detail

// What a role calls the two tables; an empty name: it does not read that table.
struct table_names {
    const char* x = "";
    const char* scores = "";
};

// `name = value;` lines, without what is at its default.
inline std::string sample_text(const sample& s, const table_names& names) {
    std::string text = "tokens = " + std::to_string(s.tokens) + ";";
    if (names.scores[0] != 0) text += " experts = " + std::to_string(s.experts) + ";";
    const auto line = [&](const char* name, const std::string& value) {
        text += "\n" + (name + (" = " + value)) + ";";
    };
    if (names.scores[0] != 0) line(names.scores, detail::table_text(s.scores));
    if (names.x[0] != 0) line(names.x, detail::table_text(s.x));
    if (s.side_is != side_kind::none) line("side", detail::table_text(s.side));
    if (s.slots != 0)
        line(s.slots == 1 ? "expert" : (std::to_string(s.slots) + " slots, expert").c_str(),
             detail::list_text(s.expert));
    if (!s.mask.empty()) line("mask", detail::list_text(s.mask));
    if (!s.sequence.empty()) line("sequence", detail::list_text(s.sequence));
    const auto any = [](const std::vector<index_t>& v) {
        return std::any_of(v.begin(), v.end(), [](index_t i) { return i != 0; });
    };
    if (any(s.token_id)) line("token_id", detail::list_text(s.token_id));
    if (any(s.label)) line("label", detail::list_text(s.label));
    if (s.k != 0) line("k", std::to_string(s.k));
    if (s.training) line("training", "true");
    if (s.training || s.seed != 0) line("seed", std::to_string(s.seed));
    return text;
}

}  // namespace testing
MOE_END
