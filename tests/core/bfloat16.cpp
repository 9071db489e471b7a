#include "moe/core/bfloat16.hpp"

#include <cmath>
#include <limits>

#include "moe/core/panels.hpp"
#include "support/catch.hpp"

namespace {

moe::bfloat16 of_bits(unsigned bits) {
    moe::bfloat16 b;
    b.bits = static_cast<std::uint16_t>(bits);
    return b;
}

float float_of_bits(std::uint32_t bits) {
    float f;
    std::memcpy(&f, &bits, sizeof(f));
    return f;
}

}  // namespace

TEST_CASE("every code of bfloat16 becomes a float and itself again, NaN a quiet NaN") {
    bool same = true, nan = true;
    for (unsigned code = 0; code < 65536; ++code) {
        const float value = of_bits(code);
        const unsigned back = moe::bfloat16(value).bits;
        if (std::isnan(value)) nan = nan && back == (code | 0x40u);
        else same = same && back == code;
    }
    CHECK(same);
    CHECK(nan);
}

TEST_CASE("between two codes the nearer is taken, halfway the even one, beyond the largest infinity") {
    bool down = true, up = true, half = true;
    for (std::uint32_t code = 0; code < 0x7f80; ++code) {
        const auto rounded = [&](std::uint32_t low) { return moe::bfloat16(float_of_bits((code << 16) | low)).bits; };
        down = down && rounded(0x7fff) == code && rounded(1) == code;
        up = up && rounded(0x8001) == code + 1 && rounded(0xffff) == code + 1;
        half = half && rounded(0x8000) == code + (code & 1u);
    }
    CHECK(down);
    CHECK(up);
    CHECK(half);
    const float largest = std::numeric_limits<float>::max();
    CHECK(float(moe::bfloat16(largest)) == std::numeric_limits<float>::infinity());
    CHECK(float(moe::bfloat16(-largest)) == -std::numeric_limits<float>::infinity());
    CHECK(moe::bfloat16(float_of_bits(0x7f800001)).bits == 0x7fc0);  // a signalling NaN without bits in the upper half
    CHECK(moe::bfloat16(-0.0f).bits == 0x8000);
}

TEST_CASE("a pair of inputs stands side by side in panels of bfloat16, and a zero behind an odd depth") {
    moe::bf16_panels w(2, 3, 5);
    moe::matrix<double> m(3, 5), back(3, 5);
    for (std::size_t i = 0; i < m.size(); ++i) m.span()[i] = double(i) + 1;
    w.assign(1, m.view());
    CHECK(w.lines() == 3);
    CHECK(w.width == 64);
    CHECK(w.span().size() == 2 * 3 * 64 * 2);
    const moe::bfloat16* line = w.panel(1, 0) + 64 * 2;  // inputs 2 and 3
    CHECK(float(line[2 * 1]) == 8.0f);
    CHECK(float(line[2 * 1 + 1]) == 9.0f);
    CHECK(float(line[64 * 2 + 2 * 2]) == 15.0f);
    CHECK(line[64 * 2 + 2 * 2 + 1].bits == 0);
    w.read(1, back.view());
    for (std::size_t i = 0; i < m.size(); ++i) CHECK(back.span()[i] == m.span()[i]);
    CHECK(float(w.view()(1, 2, 4)) == 15.0f);
}
