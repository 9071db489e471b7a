// examples/text: what its model and its corpus promise.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <string>

#include "examples/text/evaluate.hpp"
#include "examples/text/sample.hpp"
#include "moe/moe.hpp"
#include "support/catch.hpp"

using moe::index_t;
using text::router_kind;

namespace {

constexpr index_t classes = 7;

text::options small(router_kind router) {
    text::options o;
    o.router = router;
    o.experts = 4;
    o.hidden = 8;
    return o;
}

std::vector<int> some_classes(std::size_t count) {
    std::vector<int> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(static_cast<int>((i * i + i / 3) % classes));
    return out;
}

// [T,classes]
moe::matrix<float> logits_of(const text::model& m, std::span<const int> read, std::span<const index_t> sequence) {
    moe::cpu cpu;
    text::workspace w(static_cast<index_t>(read.size()), classes);
    m.forward(cpu, {read, sequence}, w);
    return w.logits;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
    return std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace

TEST_CASE("Later characters change no bit of earlier logits, whatever the router", "[examples]") {
    const auto router = GENERATE(router_kind::topk, router_kind::topp, router_kind::threshold, router_kind::null,
                                 router_kind::sigmoid_bias);
    CAPTURE(text::name_of(router));
    const text::model m = make_model(small(router), classes);
    const std::vector<int> read = some_classes(60);
    const std::vector<index_t> sequence{0, 60};
    const auto before = logits_of(m, read, sequence);
    for (const std::size_t changed : {59u, 40u, 17u, 1u, 0u}) {
        CAPTURE(changed);
        std::vector<int> other = read;
        for (std::size_t t = changed; t < other.size(); ++t) {
            other[t] = (other[t] + 1 + static_cast<int>(t % 3)) % classes;
        }
        const auto after = logits_of(m, other, sequence);
        const auto first = static_cast<index_t>(changed);
        for (index_t t = 0; t < first; ++t) CHECK(same_bits(before.view()[t], after.view()[t]));
        CHECK_FALSE(same_bits(before.view()[first], after.view()[first]));
    }
}

TEST_CASE("Nothing crosses from one sequence into the next", "[examples]") {
    const text::model m = make_model(small(router_kind::topk), classes);
    std::vector<int> read = some_classes(40);
    const std::vector<index_t> sequence{0, 25, 40};
    const auto before = logits_of(m, read, sequence);
    for (std::size_t t = 0; t < 25; ++t) read[t] = (read[t] + 1) % classes;
    const auto after = logits_of(m, read, sequence);
    for (index_t t = 25; t < 40; ++t) CHECK(same_bits(before.view()[t], after.view()[t]));
}

TEST_CASE("A prediction needs the last characters only, and masking the others changes no bit", "[examples]") {
    const text::model m = make_model(small(router_kind::topk), classes);
    const std::vector<int> read = some_classes(50);
    const std::vector<index_t> whole{0, 50}, window{0, text::context};
    const auto all = logits_of(m, read, whole);
    moe::cpu cpu;
    text::workspace w(text::context, classes);
    std::vector<std::uint8_t> last_only(text::context, 0);
    last_only.back() = 1;
    m.forward(cpu, {std::span(read).last(text::context), window, last_only}, w);
    CHECK(same_bits(all.view()[49], w.logits.view()[text::context - 1]));
}

TEST_CASE("Expert choice is refused by the library, in words that name the reason", "[examples]") {
    using Catch::Matchers::Contains;
    CHECK_THROWS_WITH(make_model(small(router_kind::expert_choice), classes),
                      Contains("--router expert-choice") && Contains("batch.causal"));
}

TEST_CASE("The held-out bits are the same in one piece and in several", "[examples]") {
    const text::model m = make_model(small(router_kind::topk), classes);
    const text::corpus c{some_classes(9000), 100};
    moe::cpu cpu;
    const auto whole = evaluate(m, c, 100, 9000, 4, cpu);
    double sum = 0;
    for (const auto& [first, last] : {std::pair<std::size_t, std::size_t>{100, 101}, {101, 1500}, {1500, 9000}}) {
        sum += evaluate(m, c, first, last, 4, cpu).bits * static_cast<double>(last - first);
    }
    CHECK(whole.bits == Approx(sum / 8900).epsilon(1e-12));
    double routes = 0, pairs = 0;
    for (const double load : whole.who[0].loads()) routes += load;
    for (const double n : whole.pairs.span()) pairs += n;
    CHECK(routes == 2 * 8900);
    CHECK(pairs == 4 * 8900);
}

TEST_CASE("A held-out byte that training never saw is of the unknown class", "[examples]") {
    const std::string training = "abca", all = training + "a\xFF";
    const text::vocabulary known(training);
    CHECK(known.classes() == 4);
    CHECK(known.class_of('c') == 2);
    CHECK(known.class_of('\xFF') == known.unknown());
    CHECK(known.name(1) == "b");
    text::corpus c = classify(all, known);
    c.train = 4;
    const auto p = counted(c, known.classes());
    CHECK(p.unigram == Approx(-(std::log2(3.0 / 8) + std::log2(1.0 / 8)) / 2));
    CHECK(p.bigram == Approx(-(std::log2(1.0 / 5) + std::log2(1.0 / 5)) / 2));
}

TEST_CASE("All 256 bytes are a vocabulary, with the unknown class behind them", "[examples]") {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    const text::vocabulary known(all);
    CHECK(known.unknown() == 256);
    for (int byte = 0; byte < 256; ++byte) CHECK(known.class_of(static_cast<char>(byte)) == byte);
    CHECK(text::printable(std::string("a\0\x1F\n\xC3", 5)) == "a\\x00\\x1f\n\\xc3");
}

TEST_CASE("A sample depends on its seed alone and never holds the unknown class", "[examples]") {
    const text::model m = make_model(small(router_kind::topk), classes);
    const text::vocabulary known(std::string("abcdef"));
    const std::vector<int> begin = some_classes(20);
    moe::cpu one, three{{.threads = 3}};
    const std::string a = sample(m, known, begin, {50, 1.0, 1}, one);
    CHECK(a.size() == 50);
    CHECK(a == sample(m, known, begin, {50, 1.0, 1}, three));
    CHECK(a != sample(m, known, begin, {50, 1.0, 2}, one));
    CHECK(a.substr(0, 20) == sample(m, known, begin, {20, 1.0, 1}, one));
    CHECK(sample(m, known, begin, {50, 0.0, 1}, one) == sample(m, known, begin, {50, 0.0, 2}, one));
    CHECK(sample(m, known, std::span(begin).first(1), {5, 1.0, 1}, one).size() == 5);
}
