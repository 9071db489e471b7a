#include "backend/problem.hpp"
#include "moe/core/build_info.hpp"

using namespace test;

namespace {

template <class W>
W random_short(index_t groups, index_t outputs, index_t inputs, std::uint64_t seed) {
    W w(groups, outputs, inputs);
    moe::matrix<float> one(outputs, inputs);
    for (index_t g = 0; g < groups; ++g) {
        randomize(one.view(), seed + 1000 * std::uint64_t(g));
        w.assign(g, one.view());
    }
    return w;
}

template <class W>
moe::panels<float> decoded(const W& w) {
    moe::panels<float> plain(w.groups(), w.outputs(), w.inputs());
    moe::matrix<float> one(w.outputs(), w.inputs());
    for (index_t g = 0; g < w.groups(); ++g) {
        w.read(g, one.view());
        plain.assign(g, one.view());
    }
    return plain;
}

// Sums of exact products: reference and cpu differ by the rounding of sums only.
constexpr double sums_only = 2e-6;

// One group of `rows` rows whose inputs stand apart, at odd addresses.
template <class W>
double error_of_product(index_t rows, index_t outputs, index_t inputs) {
    const auto w = random_short<W>(1, outputs, inputs, 1);
    const auto a = random_rows<float>(rows, inputs, 2);
    const grouping g({rows});
    guarded<float> expected(rows, outputs), c(rows, outputs);
    moe::reference reference;
    moe::cpu cpu;
    poison(cpu.scratch());
    on_reference::grouped_linear(reference, g.by_row(), a.view(), w, {}, expected.view());
    on_cpu::grouped_linear(cpu, g.by_row(), a.view(), w, {}, c.view());
    return c.only_rows_written(0, rows) ? relative_error(c.view(), expected.view()) : 1.0;
}

template <class P>
std::vector<float> panel_product(const moe::bf16_panels& w, moe::matrix_view<const float> a) {
    const std::size_t stride = std::size_t(a.cols) + 64;
    std::vector<typename P::input> packed(std::size_t(a.rows) * stride);
    std::vector<const typename P::input*> row;
    for (index_t i = 0; i < a.rows; ++i) {
        row.push_back(packed.data() + std::size_t(i) * stride);
        P::pack(a.row(i), a.cols, packed.data() + std::size_t(i) * stride);
    }
    moe::buffer<float> sum(std::size_t(a.rows) * std::size_t(P::width));
    moe::detail::multiply_panel<P>(row.data(), a.rows, w.lines(), w.panel(0, 0), sum.data(), nullptr);
    return {sum.span().begin(), sum.span().end()};
}

}  // namespace

TEMPLATE_TEST_CASE("short weights: the product equals the reference over every remainder of rows, columns and depth",
                   "", moe::bf16_panels, moe::f16_panels) {
    for (index_t inputs = 1; inputs <= 40; ++inputs) {
        for (index_t outputs = 1; outputs <= 70; outputs += 3) {
            const index_t rows = 1 + (7 * inputs + 5 * outputs) % 17;
            INFO("rows " << rows << ", outputs " << outputs << ", inputs " << inputs);
            CHECK(error_of_product<TestType>(rows, outputs, inputs) <= sums_only);
        }
    }
    for (index_t rows = 1; rows <= 17; ++rows) {
        INFO("rows " << rows);
        CHECK(error_of_product<TestType>(rows, 66, 515) <= sums_only);
        CHECK(error_of_product<TestType>(rows, 64, 512) <= sums_only);
    }
}

TEMPLATE_TEST_CASE("short weights: products, epilogues and input gradients equal the reference on any threads",
                   "", moe::bf16_panels, moe::f16_panels) {
    const grouping g(every_size(), 2);
    const moe::gated<moe::silu> swiglu;
    for (const shape s : {shape{3, 5}, {65, 257}, {130, 70}}) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_short<TestType>(g.groups(), s.outputs, s.inputs, 1);
        const auto up = random_short<TestType>(g.groups(), s.outputs, s.inputs, 5);
        const auto a = random_rows<float>(g.tokens, s.inputs, 2);
        const auto bias = random_rows<float>(g.groups(), s.outputs, 3);
        const auto dc = random_rows<float>(g.last(), s.outputs, 4);
        const auto fresh = [&](index_t cols) { return guarded<float>(g.last(), cols); };
        const auto run = [&](auto kernels, auto& b) {
            auto z = fresh(s.outputs), h = fresh(s.outputs), z_gate = fresh(s.outputs), z_up = fresh(s.outputs);
            auto plain = fresh(s.outputs), da = fresh(s.inputs);
            kernels.grouped_activation(b, g.by_token(), a.view(), w, bias.view(), moe::gelu{}, plain.view(), z.view());
            kernels.grouped_gated_activation(b, g.by_token(), a.view(), w, up, bias.view(), bias.view(), swiglu,
                                             h.view(), z_gate.view(), z_up.view());
            kernels.grouped_input_gradient(b, g.by_row(), dc.view(), w, da.view(), false);
            return std::vector{z, plain, h, z_gate, z_up, da};
        };
        const auto live = [&](const guarded<float>& m) {
            return m.view().middle_rows(g.first(), g.last() - g.first());
        };
        moe::reference reference;
        moe::cpu one;
        const auto expected = run(on_reference{}, reference);
        const auto first = run(on_cpu{}, one);
        for (std::size_t i = 0; i < first.size(); ++i) {
            CHECK(relative_error(live(first[i]), live(expected[i])) <= tolerance<float>::value);
            CHECK(first[i].only_rows_written(g.first(), g.last()));
        }
        for (const index_t threads : thread_counts()) {
            INFO("threads " << threads);
            moe::cpu cpu = make_cpu(threads);
            poison(cpu.scratch());
            const auto again = run(on_cpu{}, cpu);
            for (std::size_t i = 0; i < first.size(); ++i) CHECK(same_bits(again[i], first[i]));
        }
    }
}

TEMPLATE_TEST_CASE("short weights: a row's bits depend on no other row, and a NaN stays in its row", "",
                   moe::bf16_panels, moe::f16_panels) {
    const index_t outputs = 70, inputs = 131;
    const auto w = random_short<TestType>(1, outputs, inputs, 1);
    auto a = random_rows<float>(17, inputs, 2);
    const auto product = [&](index_t first, index_t rows) {
        const grouping g({rows});
        guarded<float> c(rows, outputs);
        moe::cpu cpu;
        on_cpu::grouped_linear(cpu, g.by_row(), a.view().middle_rows(first, rows), w, {}, c.view());
        return c;
    };
    const auto all = product(0, 17);
    for (index_t r = 0; r < 17; ++r) {
        CHECK(same_bits<float>(product(r, 1).view(), all.view().middle_rows(r, 1)));
    }
    a(5, 130) = std::numeric_limits<float>::quiet_NaN();
    const auto with_nan = product(0, 17);
    for (index_t r = 0; r < 17; ++r) {
        CHECK(same_bits<float>(with_nan.view().middle_rows(r, 1), all.view().middle_rows(r, 1)) == (r != 5));
    }
    for (index_t n = 0; n < outputs; ++n) CHECK(std::isnan(with_nan(5, n)));
}

TEST_CASE("bfloat16 weights: inputs are rounded to bfloat16 as the scalar conversion does it") {
    using V = moe::simd_vector<float>;
    bool same = true;
    const moe::random_stream random(3, moe::stream_id("tests.bf16"));
    for (std::uint64_t i = 0; i < 20000; ++i) {
        alignas(64) std::uint32_t words[std::size_t(V::size)];
        alignas(64) float in[std::size_t(V::size)], out[std::size_t(V::size)];
        for (index_t j = 0; j < V::size; ++j) {
            const auto word = random.words(i, std::uint32_t(j));
            words[j] = i % 3 == 0 ? (word[0] & 0xffff0000u) | (j % 2 == 0 ? 0x8000u : 0x7fffu) : word[0];
            if (i % 5 == 0) words[j] |= 0x7f800000u;
        }
        std::memcpy(in, words, sizeof(in));
        moe::detail::round_to_bf16(V::load_aligned(in)).store_aligned(out);
        for (index_t j = 0; j < V::size; ++j) {
            const float wanted = moe::bfloat16(in[j]);
            same = same && std::memcmp(&wanted, &out[j], sizeof(float)) == 0;
        }
    }
    CHECK(same);
}

TEST_CASE("bfloat16 weights: every kernel of this build gives the bits of widened weights") {
    std::size_t kernels = 1;
    for (const index_t inputs : {1, 2, 31, 64, 255, 515}) {
        const auto w = random_short<moe::bf16_panels>(1, 64, inputs, 1);
        const auto a = random_rows<float>(13, inputs, 2);
        const auto widened = panel_product<moe::detail::widened_bf16>(w, a.view());
        CHECK(panel_product<moe::detail::bf16_product>(w, a.view()) == widened);
#if defined(__AVX512BF16__)
        CHECK(panel_product<moe::detail::dot_bf16>(w, a.view()) == widened);
        kernels = 2;
#endif
    }
    WARN(kernels << " kernel(s) for bfloat16 in this build; products run on: "
                 << (moe::product_name<moe::cpu, float, moe::bf16_panels>()));
}

TEMPLATE_TEST_CASE("short weights: warm calls take no new scratch", "", moe::bf16_panels, moe::f16_panels) {
    const auto w = random_short<TestType>(3, 70, 131, 1);
    const auto a = random_rows<float>(11, 131, 2);
    const grouping g({4, 0, 9});
    guarded<float> c(g.last(), 70), da(g.last(), 131);
    moe::cpu cpu = make_cpu(2);
    const auto call = [&] {
        on_cpu::grouped_linear(cpu, g.by_token(), a.view(), w, {}, c.view());
        on_cpu::grouped_input_gradient(cpu, g.by_row(), c.view(), w, da.view(), false);
    };
    call();
    const std::size_t capacity = cpu.scratch().capacity();
    call();
    CHECK(cpu.scratch().capacity() == capacity);
}

TEST_CASE("float16 weights: products and input gradients have the bits of those with the decoded weights as floats") {
    const grouping g(every_size(), 2);
    for (const shape s : {shape{3, 5}, {65, 257}, {130, 70}, {64, 515}}) {
        INFO("outputs " << s.outputs << ", inputs " << s.inputs);
        const auto w = random_short<moe::f16_panels>(g.groups(), s.outputs, s.inputs, 1);
        const auto up = random_short<moe::f16_panels>(g.groups(), s.outputs, s.inputs, 5);
        const auto a = random_rows<float>(g.tokens, s.inputs, 2);
        const auto dc = random_rows<float>(g.last(), s.outputs, 4);
        const auto run = [&](const auto& gate_weights, const auto& up_weights) {
            guarded<float> c(g.last(), s.outputs), h(g.last(), s.outputs), da(g.last(), s.inputs);
            moe::cpu cpu;
            on_cpu::grouped_linear(cpu, g.by_token(), a.view(), gate_weights, {}, c.view());
            on_cpu::grouped_gated_activation(cpu, g.by_token(), a.view(), gate_weights, up_weights, {}, {},
                                             moe::gated<moe::silu>{}, h.view(), {}, {});
            on_cpu::grouped_input_gradient(cpu, g.by_row(), dc.view(), gate_weights, da.view(), false);
            return std::vector{c, h, da};
        };
        const auto got = run(w, up);
        const auto wanted = run(decoded(w), decoded(up));
        for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], wanted[i]));
    }
}

TEST_CASE("float16 weights: every code is widened as the scalar conversion does it, with and without an instruction") {
    using V = moe::simd_vector<float>;
    constexpr std::uint32_t size = V::size;
    int wrong = 0;
    for (std::uint32_t first = 0; first < 65536; first += size) {
        alignas(64) moe::float16 codes[size];
        alignas(64) float by_kernel[size], by_bits[size];
        for (std::uint32_t i = 0; i < size; ++i) codes[i].bits = static_cast<std::uint16_t>(first + i);
        moe::detail::half_words words;
        std::memcpy(&words, codes, sizeof(words));
        moe::detail::widened_f16::load(codes).store_aligned(by_kernel);
        moe::detail::widen_f16_bits(words).store_aligned(by_bits);
        for (std::uint32_t i = 0; i < size; ++i) {
            const float wanted = codes[i];
            const auto right = [&](float got) {
                if (std::isnan(wanted)) return std::isnan(got) && std::signbit(got) == std::signbit(wanted);
                return std::memcmp(&got, &wanted, sizeof(float)) == 0;
            };
            wrong += right(by_kernel[i]) && right(by_bits[i]) ? 0 : 1;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("float16 weights: infinite and subnormal weights take part as they are") {
    moe::f16_panels w(1, 3, 2);
    moe::matrix<float> plain(3, 2), x(1, 2), y(1, 3);
    plain(0, 0) = 70000.0f;
    plain(1, 0) = 0x1p-24f;
    plain(1, 1) = -3 * 0x1p-24f;
    plain(2, 0) = 65519.0f;
    w.assign(0, plain.view());
    x(0, 0) = 0x1p20f;
    x(0, 1) = 0x1p21f;
    moe::cpu cpu;
    on_cpu::grouped_linear(cpu, grouping({1}).by_row(), moe::input_view<float>(x.view()), w, {}, y.view());
    CHECK(y(0, 0) == std::numeric_limits<float>::infinity());
    CHECK(y(0, 1) == 0x1p-4f - 6 * 0x1p-4f);
    CHECK(y(0, 2) == 65504.0f * 0x1p20f);
}

TEST_CASE("a backend names what products with a format of weights run on") {
    using moe::product_name;
    CHECK(std::string(product_name<moe::reference, float, moe::bf16_panels>()) == "plain loops");
    if (!moe::detail::tiles_granted()) {
        CHECK(std::string(product_name<moe::cpu, float, moe::bf16_panels>()) == moe::detail::bf16_product::name);
    }
    CHECK(std::string(product_name<moe::cpu, float, moe::panels<float>>()) == "float vectors, multiply-add");
    CHECK(std::string(product_name<moe::cpu, double, moe::panels<double>>()) == "double vectors, multiply-add");
    CHECK(std::string(product_name<moe::cpu, double, moe::bf16_panels>()) == "plain loops");
    const std::string f16 = product_name<moe::cpu, float, moe::f16_panels>();
    CHECK(f16 == std::string("float16 widened by ") + moe::build_info().f16 + ", multiply-add");
    CHECK(std::string(product_name<moe::cpu, double, moe::f16_panels>()) == "plain loops");
}
