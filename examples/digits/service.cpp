// SPDX-License-Identifier: Apache-2.0
#include "service.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "moe/metrics/text_table.hpp"

namespace digits {

namespace {

// "3 (98), 8 (40), 5 (7)"
std::string best_served(const service& who, std::size_t expert) {
    std::array<std::size_t, classes> order{};
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return who.share(expert, a) > who.share(expert, b); });
    std::string text;
    for (std::size_t i = 0; i < 3 && who.reached[expert][order[i]] > 0; ++i) {
        text += text.empty() ? "" : ", ";
        text += std::to_string(order[i]) + " (" + std::to_string(std::lround(100 * who.share(expert, order[i]))) + ")";
    }
    return text.empty() ? "nothing" : text;
}

}  // namespace

int service::load(std::size_t expert) const {
    return std::accumulate(reached[expert].begin(), reached[expert].end(), 0);
}

int service::routes() const {
    int sum = 0;
    for (std::size_t e = 0; e < reached.size(); ++e) sum += load(e);
    return sum;
}

double service::max_over_mean() const {
    int most = 0;
    for (std::size_t e = 0; e < reached.size(); ++e) most = std::max(most, load(e));
    return routes() == 0 ? 0 : most * static_cast<double>(reached.size()) / routes();
}

double service::share(std::size_t expert, std::size_t digit) const {
    return images[digit] == 0 ? 0 : static_cast<double>(reached[expert][digit]) / images[digit];
}

double service::experts_per_image(std::size_t digit) const {
    double sum = 0;
    for (std::size_t e = 0; e < reached.size(); ++e) sum += share(e, digit);
    return sum;
}

double service::experts_per_image() const {
    const int all = std::accumulate(images.begin(), images.end(), 0);
    return all == 0 ? 0 : static_cast<double>(routes()) / all;
}

std::string load_table(const service& who) {
    moe::text_table table{{{.title = "expert"},
                           {.title = "images"},
                           {.title = "share", .unit = "%", .digits = 1},
                           {.title = "load", .left = true},
                           {.title = "serves most, in % of the images of a digit", .left = true}}};
    const int all = std::max(who.routes(), 1);
    int most = 1;
    for (std::size_t e = 0; e < who.reached.size(); ++e) most = std::max(most, who.load(e));
    for (std::size_t e = 0; e < who.reached.size(); ++e) {
        const double load = who.load(e);
        table.row({e, who.load(e), 100 * load / all, moe::bar{load / most, 30}, best_served(who, e)});
    }
    return table.text();
}

}  // namespace digits
