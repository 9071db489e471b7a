// SPDX-License-Identifier: Apache-2.0
#include "sample.hpp"

#include <algorithm>
#include <cmath>

namespace text {

namespace {

// The class at which the running sum of exp(logit / temperature) passes u times the whole.
int drawn(std::span<const float> logits, double temperature, double u) {
    const auto best = std::max_element(logits.begin(), logits.end());
    if (temperature == 0) return static_cast<int>(best - logits.begin());
    std::vector<double> sum;
    double all = 0;
    for (const float z : logits) sum.push_back(all += std::exp((static_cast<double>(z) - *best) / temperature));
    const auto found = std::upper_bound(sum.begin(), sum.end(), u * all);
    return static_cast<int>(std::min(found, sum.end() - 1) - sum.begin());
}

}  // namespace

std::string sample(const model& m, const vocabulary& known, std::span<const int> begin, const sample_options& o,
                   moe::cpu& cpu) {
    const std::size_t size = std::min(begin.size(), static_cast<std::size_t>(context));
    std::vector<int> window(begin.end() - static_cast<std::ptrdiff_t>(size), begin.end());
    std::vector<std::uint8_t> last_only(size, 0);
    last_only.back() = 1;
    const moe::index_t sequence[] = {0, static_cast<moe::index_t>(size)};
    workspace w(static_cast<moe::index_t>(size), m.head.bias.cols());
    const moe::random_stream random(o.seed, moe::stream_id("text.sample"));

    std::string out;
    for (int i = 0; i < o.characters; ++i) {
        m.forward(cpu, {window, sequence, last_only}, w);
        const std::span<const float> logits = std::as_const(w.logits).view()[sequence[1] - 1];
        const double u = random.uniform(static_cast<std::uint64_t>(i), 0);
        const int next = drawn(logits.first(static_cast<std::size_t>(known.unknown())), o.temperature, u);
        out += known.character(next);
        std::rotate(window.begin(), window.begin() + 1, window.end());
        window.back() = next;
    }
    return out;
}

}  // namespace text
