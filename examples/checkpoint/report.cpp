// checkpoint: what is printed and drawn
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

namespace {

constexpr double mib = 1024.0 * 1024.0;

// "experts.17.w1" -> "experts.*.w1", so that the tensors of all experts share a line.
std::string without_expert(const std::string& name) {
    const std::size_t at = name.find("experts.");
    if (at == std::string::npos) return name;
    const std::size_t digits = name.find_first_of("0123456789", at + 8);
    const std::size_t dot = name.find('.', digits == std::string::npos ? at + 8 : digits);
    const bool numbered = digits != std::string::npos && dot != std::string::npos &&
                          name.find_first_not_of("0123456789", digits) == dot && digits <= at + 15;
    return numbered ? name.substr(0, digits) + "*" + name.substr(dot) : name;
}

struct line {
    std::string shape;
    std::string stored;
    int count = 0;
    double bytes = 0;
};

std::string shape_of(const moe::checkpoint_tensor& t) {
    std::string text = "[";
    for (const auto d : t.shape) text += (text.size() > 1 ? ", " : "") + std::to_string(d);
    return text + "]";
}

std::string stored_as(const moe::checkpoint_tensor& t) {
    if (t.format != nullptr) return std::string(t.format->name);
    if (t.packing == moe::weight_packing::mxfp4) return "MXFP4";
    return std::string(name_of(t.codes->type)) + (t.packing == moe::weight_packing::plain ? "" : " with scales");
}

}  // namespace

void print_layer(const moe::io::checkpoint_model& model, moe::index_t number, const loaded& l, double seconds) {
    std::printf("architecture  %s, preset %s\n", model.model_type().c_str(), l.preset);
    std::printf("composition   %s\n", l.composition);
    std::printf("layer         %d, %s*, experts stored %s\n", static_cast<int>(number), l.prefix.c_str(),
                name_of(l.weights.layout));
    std::printf("sizes         %d experts, %d features\n\n", static_cast<int>(l.layer.experts()),
                static_cast<int>(l.layer.features()));
    std::map<std::string, line> lines;
    for (const auto* t : l.weights.tensors) {
        line& to = lines[without_expert(t->name.substr(l.prefix.size()))];
        to.shape = shape_of(*t);
        to.stored = stored_as(*t);
        ++to.count;
        to.bytes += static_cast<double>(t->codes->bytes.size() + (t->scales ? t->scales->bytes.size() : 0));
    }
    moe::text_table table{{{.title = "tensor", .left = true}, {.title = "tensors"}, {.title = "shape", .left = true},
                           {.title = "stored as", .left = true}, {.title = "size", .unit = "MiB", .digits = 3}}};
    for (const auto& [name, at] : lines) table.row({name, at.count, at.shape, at.stored, at.bytes / mib});
    std::fputs(table.text().c_str(), stdout);
    const double bytes = static_cast<double>(l.weights.bytes());
    std::printf("\nread          %.3f MiB of %zu tensors in %.3f s\n", bytes / mib, l.weights.tensors.size(), seconds);
}

void print_loads(const moe::load_stats& stats) {
    std::printf("load          max/mean %.2f, cv %.2f, effective experts %.1f of %d, dead %d, dropped %.1f %%\n",
                stats.max_over_mean(), stats.cv(), stats.effective(), static_cast<int>(stats.experts()),
                static_cast<int>(stats.dead()), 100.0 * stats.dropped_share());
    std::vector<moe::index_t> order(static_cast<std::size_t>(stats.experts()));
    for (std::size_t e = 0; e < order.size(); ++e) order[e] = static_cast<moe::index_t>(e);
    const auto count = [&](moe::index_t e) { return stats.count()[static_cast<std::size_t>(e)]; };
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return count(a) > count(b); });
    moe::text_table table{{{.title = "busiest"}, {.title = "routes"}, {.title = "", .left = true}}};
    for (std::size_t i = 0; i < std::min<std::size_t>(order.size(), 8); ++i) {
        const double routes = count(order[i]);
        table.row({order[i], static_cast<int>(routes), moe::bar{count(order[0]) > 0 ? routes / count(order[0]) : 0.0}});
    }
    std::printf("\n%s", table.text().c_str());
}

std::string routing_map(const moe::routing<float>& s, moe::index_t experts, const std::string& title) {
    moe::matrix<double> weight(experts, s.tokens());
    for (moe::index_t t = 0; t < s.tokens(); ++t) {
        for (moe::index_t i = s.routes.begin(t); i < s.routes.end(t); ++i) {
            const auto slot = static_cast<std::size_t>(i);
            const moe::index_t e = s.routes.expert[slot];
            if (e >= 0) weight(e, t) = static_cast<double>(s.routes.weight[slot]);
        }
    }
    return moe::map_svg(weight.view(), {.title = title, .columns = "token"});
}
