#include "moe/core/nested_codes.hpp"

#include <cmath>

#include "moe/core/rng.hpp"
#include "support/catch.hpp"

using moe::index_t;

namespace {

moe::matrix<float> heavy_tailed(index_t rows, index_t cols, std::uint64_t seed) {
    moe::matrix<float> m(rows, cols);
    const moe::random_stream random(seed, moe::stream_id("tests.nested"));
    for (index_t n = 0; n < rows; ++n) {
        for (index_t k = 0; k < cols; ++k) {
            const double v = random.normal(std::uint64_t(n), std::uint32_t(k));
            m(n, k) = static_cast<float>(v * (1 + v * v));
        }
    }
    return m;
}

template <index_t group>
moe::int8_panels<group> rounded(const moe::matrix<float>& m) {
    moe::int8_panels<group> w(1, m.rows(), m.cols());
    w.assign(0, m.view());
    return w;
}

template <class W>
double squared_error(const moe::matrix<float>& m, const W& w) {
    double sum = 0;
    for (index_t n = 0; n < m.rows(); ++n) {
        for (index_t k = 0; k < m.cols(); ++k) sum += std::pow(double(m(n, k)) - double(w(0, n, k)), 2);
    }
    return sum;
}

template <int bits, index_t group>
void check_prefix(const moe::matrix<float>& m) {
    const auto whole = rounded<group>(m);
    const auto prefix = moe::prefix_of<bits>(whole);
    constexpr int step = 1 << (8 - bits);
    for (index_t n = 0; n < m.rows(); ++n) {
        for (index_t k = 0; k < m.cols(); ++k) {
            REQUIRE(prefix.code(0, n, k) == whole.code(0, n, k) / step);
            // The middle of the codes of 8 bits that begin with the prefix.
            const float scale = whole.scale(0, n, k / whole.block_inputs()).scale;
            const int first = prefix.code(0, n, k) * step;
            const double middle = double(scale) * ((first + first + step - 1) / 2.0 - 128);
            REQUIRE(double(prefix(0, n, k)) == Approx(middle).epsilon(1e-6));
            REQUIRE(std::abs(double(m(n, k)) - middle) <= 0.5001 * step * double(scale));
        }
    }
}

}  // namespace

TEST_CASE("a prefix of 4 or 2 bits holds the upper bits of every code of 8 and stands for their middle") {
    const auto m = heavy_tailed(67, 150, 1);
    check_prefix<4, 32>(m);
    check_prefix<2, 32>(m);
    check_prefix<4, moe::whole_rows>(m);
    check_prefix<2, 128>(m);
}

TEST_CASE("nested codes: under one scale the nearest of 8 bits is the nearest of every width, so none serves better") {
    const auto m = heavy_tailed(1, 3000, 2);
    const moe::code_scale s{0.03125f, 128};
    const auto nearest = [&]<int bits>(std::integral_constant<int, bits>, float w) {
        const moe::code_scale p = moe::prefix_scale<bits>(s);
        const auto error = [&](int code) {
            return std::abs(double(w) - double(p.scale) * (double(code) - double(p.zero)));
        };
        double least = 1e30;
        for (int code = 0; code < (1 << bits); ++code) least = std::min(least, error(code));
        const int code = moe::prefix_code<bits>(moe::nearest_code<moe::code_format<8, 32>>(w, s));
        return error(code) <= least + 1e-12;
    };
    for (const float w : m.span()) {
        REQUIRE(nearest(std::integral_constant<int, 8>{}, w));
        REQUIRE(nearest(std::integral_constant<int, 4>{}, w));
        REQUIRE(nearest(std::integral_constant<int, 2>{}, w));
    }
}

TEST_CASE("a nested scale errs less than the covering scale in what counts, and pays with what does not") {
    const auto m = heavy_tailed(64, 256, 3);
    const std::vector<double> even(256, 1.0);
    const auto searched = [&](const moe::width_importance& importance) {
        moe::int8_panels<64> w(1, 64, 256);
        w.assign(0, m.view(), [&](std::span<const float> group, index_t, index_t) {
            return moe::nested_scale<64>(group, std::span<const double>(even).first(group.size()), importance);
        });
        return w;
    };
    const auto covering = rounded<64>(m);
    const auto joint = searched({.bits_8 = 1, .bits_4 = 1, .bits_2 = 1});
    const auto narrow = searched({.bits_8 = 0, .bits_4 = 0, .bits_2 = 1});
    const auto wide = searched({.bits_8 = 1, .bits_4 = 0, .bits_2 = 0});
    const auto error_2 = [&](const auto& w) { return squared_error(m, moe::prefix_of<2>(w)); };
    const auto all = [&](const auto& w) {
        return squared_error(m, w) + squared_error(m, moe::prefix_of<4>(w)) + error_2(w);
    };
    CHECK(error_2(narrow) < 0.9 * error_2(covering));
    CHECK(all(joint) < 0.95 * all(covering));
    CHECK(all(joint) <= all(wide));
    CHECK(all(joint) <= all(narrow));
    CHECK(error_2(narrow) <= error_2(joint));
    CHECK(squared_error(m, wide) <= squared_error(m, covering));
    CHECK(squared_error(m, wide) < squared_error(m, narrow));
    CHECK(squared_error(m, searched({.bits_8 = 0, .bits_4 = 0, .bits_2 = 0})) == squared_error(m, covering));
}

TEST_CASE("prefixes of groups that are 0, not finite or too large for a scale are 0, NaN and infinite") {
    moe::matrix<float> m(4, 32);
    for (index_t k = 0; k < 32; ++k) {
        m(1, k) = 1;
        m(2, k) = k % 2 == 0 ? 2e5f : -2e5f;
        m(3, k) = 1;
    }
    m(1, 7) = std::numeric_limits<float>::quiet_NaN();
    const auto whole = rounded<32>(m);
    const auto prefix = moe::prefix_of<2>(whole);
    CHECK(prefix(0, 0, 5) == 0.0f);
    CHECK(std::isnan(prefix(0, 1, 0)));
    CHECK(std::isfinite(whole(0, 2, 0)));
    CHECK(prefix(0, 2, 0) == std::numeric_limits<float>::infinity());
    CHECK(prefix(0, 2, 1) == -std::numeric_limits<float>::infinity());
    CHECK(prefix(0, 3, 0) > 0.5f);
    CHECK(moe::prefix_of<4>(moe::int8_panels<32>(0, 5, 40)).groups() == 0);
    CHECK(moe::prefix_of<4>(moe::int8_panels<moe::whole_rows>(2, 5, 0)).inputs() == 0);
}

TEST_CASE("a prefix takes 2 or 4 bits a weight and the scales and zero points") {
    const moe::int8_panels<64> w(2, 128, 256);
    CHECK(moe::prefix_of<4>(w).bits_per_weight() == 4.5);
    CHECK(moe::prefix_of<2>(w).bits_per_weight() == 2.5);
}
