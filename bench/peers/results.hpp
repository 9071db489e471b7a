// bench/peers: the lines that benchmarks and compare.py write with --results
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <tuple>
#include <string>
#include <vector>

namespace report {

// who/f32/B/T:512/threads:2/uniform; of several lines with one name the last holds.
struct result {
    std::string who;  // "layer/forward", or "peers/onednn_f32/moe": ours beside onednn with weights in f32
    std::string format, shape, load;
    int tokens = 0, threads = 0;
    std::map<std::string, double> values;

    double operator[](const std::string& name) const {
        const auto at = values.find(name);
        return at == values.end() ? 0.0 : at->second;
    }
    double limit_share() const { return std::max((*this)["pct_peak"], (*this)["pct_bandwidth"]); }
    double gflops() const { return (*this)["pct_peak"] * (*this)["peak_gflops"] / 100; }
    // Operations for every byte of weights.
    double intensity() const { return gflops() / ((*this)["pct_bandwidth"] * (*this)["read_gbytes"] / 100); }
};

inline result parse(const std::string& line) {
    std::istringstream words(line);
    std::string name, word;
    words >> name;
    std::vector<std::string> parts;
    for (std::istringstream in(name); std::getline(in, word, '/');) parts.push_back(word);
    const auto number = [&](const std::string& part, const std::string& label) {
        if (part.rfind(label, 0) != 0) throw std::runtime_error("no " + label + " in: " + line);
        return std::stoi(part.substr(label.size()));
    };
    if (parts.size() < 6) throw std::runtime_error("not a result: " + line);
    const std::size_t n = parts.size();
    result r;
    for (std::size_t i = 0; i + 5 < n; ++i) r.who += (i == 0 ? "" : "/") + parts[i];
    r.format = parts[n - 5], r.shape = parts[n - 4], r.load = parts[n - 1];
    r.tokens = number(parts[n - 3], "T:"), r.threads = number(parts[n - 2], "threads:");
    while (words >> word) {
        const std::size_t equal = word.find('=');
        if (equal != std::string::npos) r.values[word.substr(0, equal)] = std::stod(word.substr(equal + 1));
    }
    return r;
}

inline std::vector<result> read(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::map<std::string, result> last;
    for (std::string line; std::getline(file, line);) {
        if (!line.empty()) last[line.substr(0, line.find(' '))] = parse(line);
    }
    std::vector<result> all;
    for (auto& [name, r] : last) all.push_back(std::move(r));
    std::stable_sort(all.begin(), all.end(), [](const result& a, const result& b) {
        return std::tie(a.threads, a.format, a.shape, a.tokens) < std::tie(b.threads, b.format, b.shape, b.tokens);
    });
    return all;
}

}  // namespace report
