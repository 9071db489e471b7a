#include "backend/problem.hpp"
#include "moe/core/build_info.hpp"

using namespace test;

namespace {

template <class W>
W random_quantized(index_t groups, index_t outputs, index_t inputs, std::uint64_t seed) {
    W w(groups, outputs, inputs);
    moe::matrix<float> one(outputs, inputs);
    for (index_t g = 0; g < groups; ++g) {
        randomize(one.view(), seed + 1000 * std::uint64_t(g));
        w.assign(g, one.view());
    }
    return w;
}

// Codes drawn over their whole range, the ends more often than by chance.
template <class F>
moe::quantized_panels<F> extreme_codes(index_t outputs, index_t inputs, std::uint64_t seed) {
    moe::quantized_panels<F> w(1, outputs, inputs);
    const moe::random_stream random(seed, moe::stream_id("tests.codes"));
    std::vector<int> codes;
    for (index_t n = 0; n < outputs; ++n) {
        for (index_t b = 0; b < w.blocks(); ++b) {
            codes.clear();
            for (index_t i = 0; i < w.block_size(b); ++i) {
                const auto word = random.words(std::uint64_t(n), std::uint32_t(b * 65536 + i))[0];
                const int ends[] = {0, F::codes - 1};
                codes.push_back(word % 3 == 0 ? int(word >> 8 & 0xffff) % F::codes : ends[word >> 30 & 1]);
            }
            const float zero = F::zero_points ? float((n + b) % F::codes) : float(F::zero);
            w.set_block(0, n, b, {0.01f + 0.001f * float((n + 3 * b) % 7), zero}, codes);
        }
    }
    return w;
}

template <class P>
bool product_matches(index_t rows, index_t outputs, index_t inputs) {
    using F = typename P::format;
    const auto w = extreme_codes<F>(outputs, inputs, 1);
    auto a = random_rows<float>(rows, inputs, 2);
    for (index_t k = 0; k < inputs; ++k) a(0, k) = k % 2 == 0 ? 5.0f : -5.0f;
    for (index_t k = 0; k < inputs; ++k) a(rows - 1, k) = 5.0f;
    const std::size_t stride = std::size_t(P::row_words(w.lines())) + 17;
    std::vector<std::uint32_t> packed(std::size_t(rows + 15) * stride, 0x7f7f7f7fu);
    std::vector<const std::uint32_t*> row;
    for (index_t i = 0; i < rows; ++i) {
        std::uint32_t* to = packed.data() + std::size_t(i) * stride;
        P::pack(a.view().row(i), inputs, to);
        row.push_back(to);
    }
    moe::buffer<float> sum(std::size_t(rows + 15) * 64), unpacked(moe::detail::unpacked_size<P>());
    bool same = true;
    for (index_t p = 0; p < w.panel_count(); ++p) {
        moe::detail::multiply_panel<P>(row.data(), rows, w.lines(), w.panel(0, p), sum.data(), nullptr,
                                       unpacked.data());
        for (index_t i = 0; i < rows; ++i) {
            for (index_t n = p * 64; n < std::min(outputs, p * 64 + 64); ++n) {
                const float wanted = moe::detail::quantized_dot(a.view().row(i), w, 0, n);
                same = same && std::memcmp(&sum[std::size_t(i * 64 + n % 64)], &wanted, sizeof(float)) == 0;
            }
        }
    }
    return same;
}

template <class P>
void check_product() {
    using F = typename P::format;
    INFO(P::name << ", bits " << F::bits << ", group " << F::group);
    for (index_t inputs = 1; inputs <= 70; ++inputs) {
        INFO("inputs " << inputs);
        CHECK(product_matches<P>(1 + inputs % 7, 1 + 5 * inputs % 70, inputs));
    }
    for (const index_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 33, 48}) {
        INFO("rows " << rows);
        CHECK(product_matches<P>(rows, 20, 515 + 32 * rows));
    }
    CHECK(product_matches<P>(50, 20, 1100));
}

}  // namespace

// Every width, rule of zero and kind of scale; what is left is tried with the rest of long compilations. Sanitizers, under
// which a format takes a compiler a minute, get one.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#ifdef MOE_TEST_EVERY_SCALAR
#define FORMATS                                                                                                       \
    moe::int8_panels<32>, moe::int8_panels<64>, moe::int8_panels<128>, moe::int8_panels<moe::whole_rows>,             \
        moe::int4_panels<32>, moe::int4_panels<64>, moe::int4_panels<128>, moe::int4_panels<moe::whole_rows>,         \
        moe::int4_zero_panels<32>, moe::int4_zero_panels<64>, moe::int4_zero_panels<128>,                             \
        moe::int4_zero_panels<moe::whole_rows>, moe::int2_zero_panels<32>, moe::int2_zero_panels<moe::whole_rows>,   \
        moe::ternary_panels<32>, moe::ternary_panels<64>, moe::ternary_panels<128>,                                  \
        moe::ternary_panels<moe::whole_rows>, moe::packed_ternary_panels
#elif defined(SANITIZED)
#define FORMATS moe::int4_zero_panels<64>
#else
#define FORMATS                                                                                                       \
    moe::int8_panels<moe::whole_rows>, moe::int8_panels<128>, moe::int4_panels<32>, moe::int4_zero_panels<64>,       \
        moe::int2_zero_panels<moe::whole_rows>, moe::ternary_panels<32>, moe::packed_ternary_panels
#endif

TEMPLATE_TEST_CASE("quantised weights: what multiplies codes has the bits of the plain loops, at every remainder "
                   "of rows, columns and depth and at the ends of the codes", "", FORMATS) {
    check_product<moe::detail::quantized_product<typename TestType::format>>();
#if MOE_TILES
    if (moe::detail::tiles_granted()) check_product<moe::detail::tiled_quantized<typename TestType::format>>();
    else WARN("the system grants no tiles: they are not tried");
#endif
}

#if !defined(SANITIZED)
TEST_CASE("quantised weights: so have the engines that this build would use without better instructions") {
    using format = moe::int8_panels<64>::format;
    check_product<moe::detail::quantized_product<format, moe::detail::generic_dot>>();
#if defined(MOE_HAS_PAIR_DOT)
    check_product<moe::detail::quantized_product<format, moe::detail::pair_dot>>();
#endif
}
#endif

TEMPLATE_TEST_CASE("quantised weights: the plain loops add exact integers of a group, one multiply-add a group", "",
                   FORMATS) {
    for (const index_t inputs : {1, 31, 32, 33, 130, 300}) {
        const auto w = random_quantized<TestType>(1, 3, inputs, 1);
        const auto a = random_rows<float>(1, inputs, 2);
        double largest = 0;
        for (index_t k = 0; k < inputs; ++k) largest = std::max(largest, std::abs(double(a(0, k))));
        const float s = float(float(largest) / 127.0f);
        for (index_t n = 0; n < 3; ++n) {
            double exact = 0, size = 0;
            for (index_t k = 0; k < inputs; ++k) {
                const double code = std::nearbyint(a(0, k) / s);
                exact += double(s) * code * double(w(0, n, k));
                size += std::abs(double(s) * code * double(w(0, n, k)));
                CHECK(std::abs(code) <= 127);
            }
            const double bound = 1e-6 * size;
            CHECK(std::abs(moe::detail::quantized_dot(a.view().row(0), w, 0, n) - exact) <= bound);
        }
    }
}

TEMPLATE_TEST_CASE("quantised weights: verbs have the reference's bits on any threads", "", FORMATS) {
    const grouping g(every_size(), 2);
    for (const shape s : {shape{3, 5}, {5, 257}, {130, 33}}) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_quantized<TestType>(g.groups(), s.outputs, s.inputs, 1);
        const auto up = random_quantized<TestType>(g.groups(), s.outputs, s.inputs, 5);
        const auto a = random_rows<float>(g.tokens, s.inputs, 2);
        const auto bias = random_rows<float>(g.groups(), s.outputs, 3);
        const auto dc = random_rows<float>(g.last(), s.outputs, 4);
        const auto run = [&](auto kernels, auto& b) {
            guarded<float> c(g.last(), s.outputs), h(g.last(), s.outputs), z_gate(g.last(), s.outputs);
            guarded<float> z_up(g.last(), s.outputs), da(g.last(), s.inputs);
            kernels.grouped_linear(b, g.by_token(), a.view(), w, bias.view(), c.view());
            kernels.grouped_gated_activation(b, g.by_token(), a.view(), w, up, bias.view(), bias.view(),
                                             moe::gated<moe::silu>{}, h.view(), z_gate.view(), z_up.view());
            kernels.grouped_input_gradient(b, g.by_row(), dc.view(), w, da.view(), false);
            return std::vector{c, z_gate, z_up, h, da};
        };
        moe::reference reference;
        const auto expected = run(on_reference{}, reference);
        moe::cpu one;
        const auto first = run(on_cpu{}, one);
        for (std::size_t i = 0; i < first.size(); ++i) {
            if (i < 3) CHECK(same_bits(first[i], expected[i]));
            const auto live = [&](const guarded<float>& m) {
                return m.view().middle_rows(g.first(), g.last() - g.first());
            };
            CHECK(relative_error(live(first[i]), live(expected[i])) <= tolerance<float>::value);
            CHECK(first[i].only_rows_written(g.first(), g.last()));
        }
        moe::cpu three = make_cpu(3);
        poison(three.scratch());
        const auto again = run(on_cpu{}, three);
        for (std::size_t i = 0; i < first.size(); ++i) CHECK(same_bits(again[i], first[i]));
    }
}

TEMPLATE_TEST_CASE("quantised weights: a row's bits depend on no other row; NaN and infinity stay in theirs, zeros give "
                   "zeros", "", FORMATS) {
    const index_t outputs = 70, inputs = 131;
    const auto w = random_quantized<TestType>(1, outputs, inputs, 1);
    auto a = random_rows<float>(17, inputs, 2);
    const auto product = [&](index_t first, index_t rows) {
        const grouping g({rows});
        guarded<float> c(rows, outputs);
        moe::cpu cpu;
        on_cpu::grouped_linear(cpu, g.by_row(), a.view().middle_rows(first, rows), w, {}, c.view());
        return c;
    };
    const auto all = product(0, 17);
    for (index_t r = 0; r < 17; ++r) CHECK(same_bits<float>(product(r, 1).view(), all.view().middle_rows(r, 1)));
    a(5, 130) = std::numeric_limits<float>::quiet_NaN();
    a(6, 0) = -std::numeric_limits<float>::infinity();
    for (index_t k = 0; k < inputs; ++k) {
        a(7, k) = 0;
        a(8, k) = std::numeric_limits<float>::denorm_min() * float(1 + k % 3);
        a(9, k) = (k % 2 == 0 ? 1.0f : -1.0f) * std::numeric_limits<float>::max();
    }
    const auto odd = product(0, 17);
    for (index_t r = 0; r < 17; ++r) {
        const bool changed = r >= 5 && r <= 9;
        CHECK(same_bits<float>(odd.view().middle_rows(r, 1), all.view().middle_rows(r, 1)) == !changed);
    }
    for (index_t n = 0; n < outputs; ++n) {
        CHECK(std::isnan(odd(5, n)));
        CHECK(std::isnan(odd(6, n)));
        CHECK(odd(7, n) == 0.0f);
        CHECK(odd(8, n) == 0.0f);
        CHECK_FALSE(std::isnan(odd(9, n)));
    }
}

TEST_CASE("quantised weights: the backend and the build say what multiplies codes") {
    const std::string codes = moe::build_info().codes;
    const std::string name = moe::product_name<moe::cpu, float, moe::int4_panels<32>>();
    CHECK(name.find(codes) != std::string::npos);
    CHECK(std::string(moe::product_name<moe::reference, float, moe::int4_panels<32>>()) == "plain loops");
    const std::string isa = moe::build_info().isa;
    CHECK((codes == "vpdpbusd") == (isa.find("_vnni") != std::string::npos));
    CHECK((codes == "sdot") == (isa.find("_dotprod") != std::string::npos));
}
