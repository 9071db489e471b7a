// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "moe/metrics/affinity.hpp"
#include "moe/metrics/svg.hpp"
#include "report.hpp"
#include "support/stack_svg.hpp"

namespace text {

namespace {

// Columns of a picture that leave room for a number in each cell.
constexpr std::size_t most_characters = 24;

// The characters that were read most often, most frequent first.
std::vector<int> frequent(const service& who) {
    std::vector<int> order(who.characters.size());
    std::iota(order.begin(), order.end(), 0);
    const auto count = [&](int c) { return who.characters[static_cast<std::size_t>(c)]; };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return count(a) > count(b); });
    while (!order.empty() && (order.size() > most_characters || count(order.back()) == 0)) order.pop_back();
    return order;
}

std::string layer_map(const service& who, const vocabulary& known, const std::string& title) {
    const std::vector<int> shown = frequent(who);
    moe::map_look look;
    look.title = title;
    look.columns = "character, most frequent first";
    look.percent = true;
    for (const int c : shown) look.column_names.push_back(known.name(c));
    moe::matrix<double> shares(static_cast<moe::index_t>(who.reached.size()), static_cast<moe::index_t>(shown.size()));
    for (std::size_t e = 0; e < who.reached.size(); ++e) {
        for (std::size_t j = 0; j < shown.size(); ++j) {
            shares(static_cast<moe::index_t>(e), static_cast<moe::index_t>(j)) = who.share(e, shown[j]);
        }
    }
    return moe::map_svg(shares.view(), look);
}

}  // namespace

std::string picture(const evaluation& e, const vocabulary& known, const std::string& subtitle) {
    moe::map_look look;
    look.title = "From layer 1 to layer 2";
    look.rows = "layer 1";
    look.columns = "layer 2";
    look.percent = true;
    return example::stack_svg({"Which expert serves which character", subtitle,
                               "layers: per cent of the occurrences of a character that reach the expert",
                               "from layer to layer: per cent of the pairs of an expert of layer 1"},
                              {layer_map(e.who[0], known, "Layer 1"), layer_map(e.who[1], known, "Layer 2"),
                               moe::map_svg(moe::conditional(e.pairs).view(), look)});
}

}  // namespace text
