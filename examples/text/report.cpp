// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "moe/metrics/affinity.hpp"
#include "moe/metrics/json.hpp"
#include "moe/metrics/text_table.hpp"
#include "support/load.hpp"
#include "support/weights.hpp"

namespace text {

namespace {

// Of rarer characters a share says little.
constexpr double least_occurrences = 10;

// An affinity as a matrix of numbers fits on a screen up to here.
constexpr moe::index_t most_columns = 16;

// "sp (98), e (40), nl (7)"
std::string best_served(const service& who, std::size_t expert, const vocabulary& known) {
    std::vector<int> order;
    for (int c = 0; c < known.classes(); ++c) {
        const bool common = who.characters[static_cast<std::size_t>(c)] >= least_occurrences;
        if (common && who.share(expert, c) > 0) order.push_back(c);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return who.share(expert, a) > who.share(expert, b); });
    std::string text;
    for (std::size_t i = 0; i < order.size() && i < 6; ++i) {
        text += text.empty() ? "" : ", ";
        text += known.name(order[i]) + " (" + std::to_string(std::lround(100 * who.share(expert, order[i]))) + ")";
    }
    return text.empty() ? "nothing" : text;
}

std::string affinity_matrix(const moe::matrix<double>& after) {
    std::vector<moe::table_column> columns{{.title = "layer 1 \\ layer 2", .left = true}};
    for (moe::index_t j = 0; j < after.cols(); ++j) columns.push_back({.title = std::to_string(j), .digits = 0});
    moe::text_table table(columns);
    for (moe::index_t i = 0; i < after.rows(); ++i) {
        std::vector<moe::table_cell> cells{moe::table_cell(i)};
        for (moe::index_t j = 0; j < after.cols(); ++j) cells.emplace_back(100 * after(i, j));
        table.row(cells);
    }
    return table.text();
}

std::string strongest_pairs(const moe::matrix<double>& pairs, const moe::matrix<double>& after) {
    std::vector<std::pair<moe::index_t, moe::index_t>> order;
    for (moe::index_t i = 0; i < pairs.rows(); ++i) {
        for (moe::index_t j = 0; j < pairs.cols(); ++j) {
            if (pairs(i, j) > 0) order.emplace_back(i, j);
        }
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](const auto& a, const auto& b) { return pairs(a.first, a.second) > pairs(b.first, b.second); });
    order.resize(std::min(order.size(), static_cast<std::size_t>(most_columns)));
    moe::text_table table{{{.title = "expert of layer 1"},
                           {.title = "of layer 2"},
                           {.title = "characters"},
                           {.title = "of the first's routes", .unit = "%", .digits = 1}}};
    for (const auto& [i, j] : order) table.row({i, j, std::lround(pairs(i, j)), 100 * after(i, j)});
    return table.text();
}

}  // namespace

std::string load_table(const service& who, const vocabulary& known) {
    moe::text_table table{{{.title = "expert"},
                           {.title = "characters"},
                           {.title = "share", .unit = "%", .digits = 1},
                           {.title = "load", .left = true},
                           {.title = "serves most, in % of the occurrences of a character", .left = true}}};
    const std::vector<double> loads = who.loads();
    const double all = std::max(std::accumulate(loads.begin(), loads.end(), 0.0), 1.0);
    const double most = std::max(*std::max_element(loads.begin(), loads.end()), 1.0);
    for (std::size_t e = 0; e < loads.size(); ++e) {
        table.row({e, std::lround(loads[e]), 100 * loads[e] / all, moe::bar{loads[e] / most, 20},
                   best_served(who, e, known)});
    }
    return table.text();
}

std::string affinity_table(const moe::matrix<double>& pairs) {
    const moe::matrix<double> after = moe::conditional(pairs);
    return pairs.cols() <= most_columns ? affinity_matrix(after) : strongest_pairs(pairs, after);
}

std::string json_text(const results& r) {
    moe::json_writer w;
    w.begin_object();
    w.member("bits_per_character", r.bits);
    w.member("training_bits_per_character", r.training_bits);
    w.member("unigram", r.counting.unigram);
    w.member("bigram", r.counting.bigram);
    w.key("loads");
    w.begin_array();
    for (const service& s : r.held_out.who) w.value(s.loads());
    w.end_array();
    w.key("max_over_mean");
    w.begin_array();
    for (const service& s : r.held_out.who) w.value(example::max_over_mean(s.loads()));
    w.end_array();
    w.key("affinity");
    w.begin_array();
    for (moe::index_t i = 0; i < r.held_out.pairs.rows(); ++i) w.value(r.held_out.pairs.view()[i]);
    w.end_array();
    w.member("sample", printable(r.sample));
    w.member("seconds", r.seconds);
    w.member("processor_seconds", r.processor_seconds);
    w.member("characters_per_s", r.characters_per_s);
    w.member("weights_hash", example::hash_text(r.weights_hash));
    w.end_object();
    return w.text() + "\n";
}

}  // namespace text
