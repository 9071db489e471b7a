// moe_report RESULTS FOLDER: prints tables of ratios, writes roofline-N.svg and sweep-N.svg for N threads
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <iostream>
#include <set>
#include <tuple>

#include "moe/metrics/svg.hpp"
#include "results.hpp"

namespace {

using report::result;

const char* const colours[] = {"#1f5fa8", "#c2571a", "#2f8f4e", "#8e3f97", "#b59a00", "#5a5a5a"};

// Positions on logarithmic axes inside a frame with ticks at powers.
class log_plot {
public:
    double left = 70, top = 50, width = 560, height = 360;
    double x0 = 1, x1 = 10, y0 = 1, y1 = 10;
    moe::detail::svg_drawing d{800, 470};

    double x(double v) const { return left + width * std::log(v / x0) / std::log(x1 / x0); }
    double y(double v) const { return top + height * (1 - std::log(v / y0) / std::log(y1 / y0)); }

    void frame(const std::string& title, const std::string& x_words, const std::string& y_words) {
        d.text(left, 28, title, "start", 16);
        d.line(left, top + height, left + width, top + height, "#333333");
        d.line(left, top, left, top + height, "#333333");
        d.text(left + width / 2, top + height + 40, x_words);
        d.text(left, top - 8, y_words, "start");
    }
    void tick_x(double v) {
        d.line(x(v), top, x(v), top + height, "#e4e4e4");
        d.text(x(v), top + height + 18, name(v), "middle", 11);
    }
    void tick_y(double v) {
        d.line(left, y(v), left + width, y(v), "#e4e4e4");
        d.text(left - 8, y(v) + 4, name(v), "end", 11);
    }
    void mark(double at_x, double at_y, const std::string& colour, double size = 7) {
        d.box(x(at_x) - size / 2, y(at_y) - size / 2, size, size, colour);
    }
    void legend(int row, const std::string& words, const std::string& colour) {
        d.box(left + width + 20, top + 18.0 * row, 10, 10, colour);
        d.text(left + width + 36, top + 18.0 * row + 9, words, "start");
    }

private:
    static std::string name(double v) { return moe::detail::svg_drawing::number(v, v < 1 ? 2 : 0); }
};

bool is_ours(const result& r) { return r.who == "layer/forward" && r.load == "uniform"; }
// ggml_q8_0 of peers/ggml_q8_0/ggml, "" for ours.
std::string peer_of(const result& r) {
    const std::size_t first = r.who.find('/'), last = r.who.rfind('/');
    if (r.who.rfind("peers/", 0) != 0 || first == last || r.who.substr(last + 1) == "moe") return {};
    return r.who.substr(first + 1, last - first - 1);
}

std::vector<result> select(const std::vector<result>& all, int threads, bool (*wanted)(const result&)) {
    std::vector<result> some;
    for (const result& r : all) {
        if (r.threads == threads && r["pct_bandwidth"] > 0 && wanted(r)) some.push_back(r);
    }
    return some;
}

double middle(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

// A colour for every name, in order.
class palette {
public:
    const char* operator[](const std::string& name) {
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        return colours[std::size_t(std::find(names.begin(), names.end(), name) - names.begin()) % std::size(colours)];
    }
    std::vector<std::string> names;
};

// f32 layers of ours, by shape, and peers, under the roofs that were measured around them.
std::string roofline(const std::vector<result>& all, int threads) {
    const auto f32_ours = [](const result& r) { return is_ours(r) && r.format == "f32"; };
    const std::vector<result> ours = select(all, threads, f32_ours);
    const auto f32_peer = [](const result& r) { return !peer_of(r).empty() && r.format == "f32"; };
    const std::vector<result> others = select(all, threads, f32_peer);
    if (ours.empty()) return {};
    std::vector<double> peaks, reads;
    for (const result& r : ours) {
        peaks.push_back(r["peak_gflops"]);
        reads.push_back(r["read_gbytes"]);
    }
    const double peak = middle(peaks), read = middle(reads);
    log_plot p;
    p.x0 = 0.25, p.x1 = 2048, p.y0 = 1, p.y1 = std::pow(10, std::ceil(std::log10(peak)));
    p.frame("One layer, f32, " + std::to_string(threads) + " thread" + (threads > 1 ? "s" : ""),
            "operations for every byte of expert weights", "GF/s");
    for (double v = 0.25; v <= 2048; v *= 4) p.tick_x(v);
    for (double v = 1; v <= p.y1; v *= 10) p.tick_y(v);
    const double knee = peak / read, first = std::max(p.x0, p.y0 / read);
    p.d.line(p.x(first), p.y(first * read), p.x(knee), p.y(peak), "#222222", 2);
    p.d.line(p.x(knee), p.y(peak), p.x(p.x1), p.y(peak), "#222222", 2);
    p.d.text(p.x(p.x1) - 4, p.y(peak) - 6, p.d.number(peak, 0) + " GF/s", "end", 11);
    const double slope = std::sqrt(first * knee);
    p.d.text(p.x(slope) - 10, p.y(slope * read) - 8, p.d.number(read, 0) + " GB/s", "end", 11);
    palette colour;
    const auto draw = [&](const std::vector<result>& results, const auto& name, double size) {
        for (const result& r : results) {
            if (r.gflops() <= p.y0 || r.intensity() < p.x0 || r.intensity() > p.x1) continue;
            p.mark(r.intensity(), r.gflops(), colour[name(r)], size);
        }
    };
    draw(ours, [](const result& r) { return "moe, layer " + r.shape; }, 8);
    draw(others, peer_of, 5);
    for (std::size_t i = 0; i < colour.names.size(); ++i) p.legend(int(i), colour.names[i], colour[colour.names[i]]);
    return p.d.finish();
}

// The share of the nearer limit over the number of tokens, a line for every shape and format.
std::string sweep(const std::vector<result>& all, int threads) {
    const std::vector<result> ours = select(all, threads, is_ours);
    if (ours.empty()) return {};
    log_plot p;
    p.x0 = 1, p.x1 = 2048, p.y0 = 10, p.y1 = 125;
    p.frame("Share of the nearer limit, " + std::to_string(threads) + " thread" + (threads > 1 ? "s" : ""), "tokens",
            "% of the arithmetic peak or of memory reads, whichever is more");
    for (double v = 1; v <= 2048; v *= 2) p.tick_x(v);
    for (const double v : {10, 20, 40, 60, 80, 100}) p.tick_y(v);
    palette colour;
    const result* before = nullptr;
    for (const result& r : ours) {
        const std::string name = r.shape + " " + r.format;
        const double share = std::clamp(r.limit_share(), p.y0, p.y1);
        p.mark(r.tokens, share, colour[name], r.format == "f32" ? 7 : 4);
        if (before != nullptr && before->shape == r.shape && before->format == r.format) {
            p.d.line(p.x(before->tokens), p.y(std::clamp(before->limit_share(), p.y0, p.y1)), p.x(r.tokens), p.y(share),
                     colour[name], r.format == "f32" ? 2 : 1);
        }
        before = &r;
    }
    for (std::size_t i = 0; i < colour.names.size(); ++i) p.legend(int(i), colour.names[i], colour[colour.names[i]]);
    return p.d.finish();
}

// Ours in the run of a peer's result, or null.
const result* beside(const result& r, const std::vector<result>& all) {
    const auto same = [&](const result& o) {
        return o.who == "peers/" + peer_of(r) + "/moe" && o.shape == r.shape && o.tokens == r.tokens &&
               o.threads == r.threads && o.load == r.load;
    };
    const auto found = std::find_if(all.begin(), all.end(), same);
    return found == all.end() ? nullptr : &*found;
}

// Times of peers over ours with weights in `format`, in the same process; above 1 ours is faster. The last column is
// ours, in % of its limit.
void print_ratios(const std::vector<result>& all, int threads, const std::string& format) {
    std::set<std::string> peers;
    std::map<std::tuple<std::string, int>, std::map<std::string, double>> ratio;
    std::map<std::tuple<std::string, int>, std::vector<double>> share;
    for (const result& r : select(all, threads, [](const result& one) { return !peer_of(one).empty(); })) {
        const result* const ours = beside(r, all);
        if (ours == nullptr || ours->format != format) continue;
        peers.insert(peer_of(r));
        ratio[{r.shape, r.tokens}][peer_of(r)] = r["seconds"] / (*ours)["seconds"];
        share[{r.shape, r.tokens}].push_back(ours->limit_share());
    }
    if (peers.empty()) return;
    std::cout << "\n| " << format << ", " << threads << " thread" << (threads > 1 ? "s" : "") << ": layer, tokens |";
    for (const std::string& peer : peers) std::cout << ' ' << peer << " |";
    std::cout << " ours, % of limit |\n| --- |";
    for (std::size_t i = 0; i <= peers.size(); ++i) std::cout << " --- |";
    for (const auto& [at, of_peer] : ratio) {
        std::cout << "\n| " << std::get<0>(at) << ", " << std::get<1>(at) << " |";
        for (const std::string& peer : peers) {
            const auto known = of_peer.find(peer);
            const bool there = known != of_peer.end();
            std::cout << ' ' << (there ? moe::detail::svg_drawing::number(known->second, 2) : "-") << " |";
        }
        std::cout << ' ' << moe::detail::svg_drawing::number(middle(share[at]), 0) << " |";
    }
    std::cout << '\n';
}

void write(const std::string& path, const std::string& text) {
    if (text.empty()) return;
    std::ofstream(path) << text;
    std::cout << "wrote " << path << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 3) throw std::runtime_error("moe_report RESULTS FOLDER");
    const std::vector<result> all = report::read(argv[1]);
    std::set<int> threads;
    for (const result& r : all) threads.insert(r.threads);
    for (const char* format : {"f32", "bf16", "f16", "int8_32", "int4_32"}) {
        for (const int n : threads) print_ratios(all, n, format);
    }
    std::cout << '\n';
    for (const int n : threads) {
        write(std::string(argv[2]) + "/roofline-" + std::to_string(n) + ".svg", roofline(all, n));
        write(std::string(argv[2]) + "/sweep-" + std::to_string(n) + ".svg", sweep(all, n));
    }
} catch (const std::exception& e) {
    std::fprintf(stderr, "moe_report: %s\n", e.what());
    return 1;
}
