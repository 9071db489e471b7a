// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "moe/metrics/affinity.hpp"
#include "support/cross_entropy.hpp"
#include "support/stopwatch.hpp"

namespace text {

namespace {

constexpr std::size_t chunk = 4096;

void add_service(service& who, const moe::plan_view& plan, std::span<const int> read) {
    for (std::size_t e = 0; e < who.reached.size(); ++e) {
        const auto id = static_cast<moe::index_t>(e);
        for (moe::index_t r = plan.begin(id); r < plan.end(id); ++r) {
            const auto token = static_cast<std::size_t>(plan.token[static_cast<std::size_t>(r)]);
            ++who.reached[e][static_cast<std::size_t>(read[token])];
        }
    }
}

void add_pairs(moe::matrix<double>& sum, const moe::matrix<double>& pairs) {
    for (moe::index_t i = 0; i < sum.rows(); ++i) {
        for (moe::index_t j = 0; j < sum.cols(); ++j) sum(i, j) += pairs(i, j);
    }
}

// A pass over a text that predicts [first, last). The `lead` characters in front of the first that is asked about are
// read, but take no part in the layers.
struct reading {
    std::size_t lead;
    std::span<const int> read;
    workspace w;

    reading(const model& m, const corpus& text, std::size_t first, std::size_t last, moe::cpu& cpu)
        : lead(std::min(first - 1, static_cast<std::size_t>(context) - 1)),
          read(text.classes.data() + first - 1 - lead, lead + last - first),
          w(static_cast<moe::index_t>(read.size()), m.head.bias.cols()) {
        std::vector<std::uint8_t> mask(read.size(), 1);
        std::fill_n(mask.begin(), lead, std::uint8_t{0});
        const moe::index_t sequence[] = {0, static_cast<moe::index_t>(read.size())};
        m.forward(cpu, {read, sequence, mask}, w);
    }
};

// Predicts [first, last) and adds to the sums; `bits` and `accuracy` are not yet divided.
void add_chunk(const model& m, const corpus& text, std::size_t first, std::size_t last, moe::cpu& cpu,
               evaluation& sum) {
    const reading pass(m, text, first, last, cpu);
    const auto& [lead, read, w] = pass;
    const std::span<const int> wanted(text.classes.data() + first, last - first);
    const moe::matrix_view<const float> asked =
        w.logits.view().middle_rows(static_cast<moe::index_t>(lead), static_cast<moe::index_t>(last - first));
    const example::score s = example::cross_entropy<float>(asked, wanted, 0, {});
    sum.bits += s.surprise / std::log(2.0);
    sum.accuracy += s.hits;
    for (std::size_t i = 0; i < layers; ++i) {
        for (const int c : read.subspan(lead)) ++sum.who[i].characters[static_cast<std::size_t>(c)];
        add_service(sum.who[i], w.tape[i].plan(), read);
    }
    add_pairs(sum.pairs, moe::affinity(w.tape[0].plan(), w.tape[1].plan()));
}

}  // namespace

double service::load(std::size_t expert) const {
    return std::accumulate(reached[expert].begin(), reached[expert].end(), 0.0);
}

std::vector<double> service::loads() const {
    std::vector<double> out;
    for (std::size_t e = 0; e < reached.size(); ++e) out.push_back(load(e));
    return out;
}

double service::share(std::size_t expert, int character) const {
    const auto c = static_cast<std::size_t>(character);
    return characters[c] == 0 ? 0 : reached[expert][c] / characters[c];
}

evaluation evaluate(const model& m, const corpus& text, std::size_t first, std::size_t last, int experts,
                    moe::cpu& cpu) {
    const auto classes = static_cast<std::size_t>(m.head.bias.cols());
    evaluation out;
    out.pairs = moe::matrix<double>(experts, experts);
    for (service& s : out.who) {
        s.characters.resize(classes);
        s.reached.assign(static_cast<std::size_t>(experts), std::vector<double>(classes));
    }
    const example::stopwatch time;
    for (std::size_t from = first; from < last; from += chunk) {
        add_chunk(m, text, from, std::min(from + chunk, last), cpu, out);
    }
    const auto characters = static_cast<double>(last - first);
    out.bits /= characters;
    out.accuracy /= characters;
    out.characters_per_s = characters / time.seconds();
    return out;
}

std::string routes_text(const model& m, const corpus& text, std::size_t first, std::size_t last, int experts,
                        moe::cpu& cpu) {
    const reading pass(m, text, first, last, cpu);
    const auto& routes = pass.w.tape[layers - 1].routing().routes;
    std::ostringstream lines;
    for (std::size_t t = pass.lead; t < pass.read.size(); ++t) {
        const char* between = "";
        for (auto slot = static_cast<std::size_t>(routes.offset[t]); slot < std::size_t(routes.offset[t + 1]); ++slot) {
            const moe::index_t e = routes.expert[slot];
            if (e < 0 || e >= experts) continue;
            lines << between << e;
            between = " ";
        }
        lines << '\n';
    }
    return lines.str();
}

}  // namespace text
