#include "backend/problem.hpp"
#include "moe/core/build_info.hpp"

using namespace test;

#if MOE_TILES

namespace {

using P = moe::detail::tiled_bf16;

// The order that backend/cpu/amx.hpp states, in plain loops.
float product_in_steps(const float* x, const moe::bf16_panels& w, index_t n) {
    float sum = 0;
    for (index_t first = 0; first < w.inputs(); first += 32) {
        float even = 0, odd = 0;
        for (index_t k = first; k < std::min(first + 32, w.inputs()); ++k) {
            float& chain = k % 2 == 0 ? even : odd;
            chain = std::fma(static_cast<float>(moe::bfloat16(x[k])), static_cast<float>(w(0, n, k)), chain);
        }
        sum += even + odd;
    }
    return sum;
}

struct tile_problem {
    moe::bf16_panels w;
    moe::matrix<float> a;
    std::vector<const P::input*> row;
    moe::buffer<P::input> packed;

    tile_problem(index_t rows, index_t outputs, index_t inputs) : w(1, outputs, inputs), a(rows, inputs) {
        moe::matrix<float> plain(outputs, inputs);
        randomize(plain.view(), 1);
        randomize(a.view(), 2);
        w.assign(0, plain.view());
        const std::size_t stride = std::size_t(inputs) + 48;
        packed = moe::buffer<P::input>(std::size_t(rows + P::spare_rows) * stride);
        for (auto& x : packed.span()) x = 0x7fc07fc0u;
        for (index_t i = 0; i < rows; ++i) {
            P::input* to = packed.data() + std::size_t(i) * stride;
            P::pack(a.view().row(i), inputs, to);
            row.push_back(to);
        }
    }
    bool matches() {
        moe::buffer<float> sum(std::size_t(moe::detail::strip_limit) * 64);
        bool same = true;
        for (index_t p = 0; p < w.panel_count(); ++p) {
            const index_t columns = moe::detail::panel_columns<float>(w.outputs(), p);
            moe::detail::multiply_panel<P>(row.data(), a.rows(), w.lines(), w.panel(0, p), sum.data(), nullptr, nullptr,
                                           columns);
            for (index_t i = 0; i < a.rows(); ++i) {
                for (index_t n = p * 64; n < std::min(w.outputs(), p * 64 + 64); ++n) {
                    same = same && sum[std::size_t(i * 64 + n % 64)] == product_in_steps(a.view().row(i), w, n);
                }
            }
        }
        return same;
    }
};

bool granted() {
    if (moe::detail::tiles_granted()) return true;
    WARN("the system grants no tiles: not run");
    return false;
}

}  // namespace

TEST_CASE("tiles: products have the bits of the stated order at every remainder of inputs, rows and outputs, beside "
          "rows that are not numbers") {
    if (!granted()) return;
    for (index_t inputs = 1; inputs <= 100; ++inputs) {
        INFO("inputs " << inputs);
        CHECK(tile_problem(1 + inputs % 37, 1 + 5 * inputs % 70, inputs).matches());
    }
    for (index_t rows = 1; rows <= 70; ++rows) {
        INFO("rows " << rows);
        CHECK(tile_problem(rows, 66, 131).matches());
    }
    for (const index_t inputs : {1023, 1024, 1025, 1056, 2100}) {
        INFO("inputs " << inputs);
        CHECK(tile_problem(moe::detail::strip_limit, 65, inputs).matches());
    }
}

TEST_CASE("tiles: denormal weights, inputs and sums count as zeros, infinite ones as they are, for one row and for many") {
    if (!granted()) return;
    const index_t rows = 7;
    const auto product = [](const tile_problem& p) {
        moe::matrix<float> y(rows, 2);
        moe::cpu cpu;
        for (const auto& [first, count] : {std::pair<index_t, index_t>{0, 1}, {1, rows - 1}}) {
            on_cpu::grouped_linear(cpu, grouping({count}).by_row(), p.a.view().middle_rows(first, count), p.w, {},
                                   y.view().middle_rows(first, count));
        }
        return y;
    };
    tile_problem p(rows, 2, 3);
    moe::matrix<float> plain(2, 3);
    plain(0, 0) = 0x1p-130f;
    plain(0, 1) = 1;
    plain(0, 2) = 0x1p-70f;
    plain(1, 2) = 70000.0f;
    p.w.assign(0, plain.view());
    for (index_t r = 0; r < rows; ++r) {
        p.a(r, 0) = 0x1p100f;
        p.a(r, 1) = 0x1p-130f;
        p.a(r, 2) = 0x1p-70f;
    }
    const auto tiny = product(p);
    for (index_t r = 0; r < rows; ++r) {
        CHECK(tiny(r, 0) == 0);
        CHECK(tiny(r, 1) == 70144.0f * 0x1p-70f);
    }
    for (index_t r = 0; r < rows; ++r) p.a(r, 2) = std::numeric_limits<float>::infinity();
    const auto large = product(p);
    for (index_t r = 0; r < rows; ++r) CHECK(large(r, 1) == std::numeric_limits<float>::infinity());
}

TEST_CASE("tiles: a backend says that it uses them") {
    if (!granted()) return;
    CHECK(std::string(moe::build_info().bf16) == "tdpbf16ps");
    CHECK(std::string(moe::product_name<moe::cpu, float, moe::bf16_panels>()) == P::name);
}

TEST_CASE("tiles: a cpu that is told to use none gives the bits of vectors") {
    const tile_problem p(20, 65, 131);
    const auto product = [&](bool tiles) {
        moe::matrix<float> y(20, 65);
        moe::cpu cpu(moe::cpu_options{.tiles = tiles});
        CHECK(cpu.uses_tiles() == (tiles && moe::detail::tiles_granted()));
        on_cpu::grouped_linear(cpu, grouping({20}).by_row(), moe::input_view<float>(p.a.view()), p.w, {}, y.view());
        return y;
    };
    const auto on_tiles = product(true), on_vectors = product(false);
    const index_t last = p.w.lines();
    double differences = 0;
    for (index_t i = 0; i < 20; ++i) {
        for (index_t n = 0; n < 65; ++n) {
            float chain = 0;
            for (index_t k = 0; k < last; ++k) {
                for (const index_t input : {2 * k + 1, 2 * k}) {
                    if (input >= p.w.inputs()) continue;
                    const float x = moe::bfloat16(p.a(i, input));
                    chain = std::fma(x, static_cast<float>(p.w(0, n, input)), chain);
                }
            }
            CHECK(on_vectors(i, n) == chain);
            differences += on_tiles(i, n) != chain ? 1 : 0;
        }
    }
    CHECK((differences > 0) == moe::detail::tiles_granted());
}

TEST_CASE("tiles: a thread keeps none after a product") {
    if (!granted()) return;
    moe::detail::multiply_panel<P>(tile_problem(1, 64, 64).row.data(), 1, 0, nullptr, moe::buffer<float>(64).data(),
                                   nullptr);
    CHECK(tile_problem(3, 64, 64).matches());
    // xgetbv with 1 tells which parts of the processor's state are in use; bits 17 and 18 are the tiles'.
    std::uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    CHECK((low >> 18 & 1u) == 0);
}

#else

TEST_CASE("tiles: a build without them never asks for them") {
    CHECK_FALSE(moe::detail::tiles_granted());
    CHECK(std::string(moe::build_info().bf16) != "tdpbf16ps");
}

#endif
