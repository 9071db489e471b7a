#include "moe/core/float16.hpp"

#include <cmath>

#include "support/catch.hpp"

namespace {

// The value of a code by the formula of IEEE 754.
double value_of(std::uint16_t code) {
    const double sign = (code >> 15) != 0 ? -1.0 : 1.0;
    const int exponent = (code >> 10) & 31, fraction = code & 1023;
    if (exponent == 31) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
    return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
}

}  // namespace

TEST_CASE("every code of float16 is widened exactly and comes back") {
    int wrong = 0;
    for (std::uint32_t c = 0; c < 65536; ++c) {
        moe::float16 h;
        h.bits = static_cast<std::uint16_t>(c);
        const double wanted = value_of(h.bits);
        const double got = static_cast<double>(float(h));
        if (std::isnan(wanted)) wrong += std::isnan(got) && std::isnan(float(moe::float16(float(h)))) ? 0 : 1;
        else wrong += got == wanted && moe::float16(float(h)).bits == h.bits ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("float16 rounds a float as it rounds the same number in double") {
    int wrong = 0;
    const auto check = [&](float value) {
        const moe::float16 quick(value), from_double(static_cast<double>(value));
        wrong += quick.bits == from_double.bits ? 0 : 1;
    };
    const auto check_around = [&](float value) {
        for (const float v : {value, std::nextafter(value, 1e30f), std::nextafter(value, -1e30f)}) {
            check(v);
            check(-v);
        }
    };
    for (std::uint32_t c = 0; c < 0x7c00; ++c) {
        moe::float16 here, next;
        here.bits = static_cast<std::uint16_t>(c);
        next.bits = static_cast<std::uint16_t>(c + 1);
        check_around(here);
        const double above = next.bits == 0x7c00 ? 65536.0 : double(float(next));
        check_around(static_cast<float>((double(float(here)) + above) / 2));  // a tie
    }
    for (std::uint32_t word = 0; word < 0xffff0000u; word += 0x8765u) {  // all exponents, NaN too
        float value;
        std::memcpy(&value, &word, sizeof(value));
        check(value);
    }
    CHECK(wrong == 0);
}

TEST_CASE("float16 and bfloat16 round to nearest, ties to even, once from double") {
    CHECK(moe::float16(1.0 + std::ldexp(1.0, -11)).bits == 0x3c00);                          // a tie, down to even
    CHECK(moe::float16(1.0 + 3 * std::ldexp(1.0, -11)).bits == 0x3c02);                      // a tie, up to even
    CHECK(moe::float16(1.0 + std::ldexp(1.0, -11) + std::ldexp(1.0, -40)).bits == 0x3c01);  // above a tie in double only
    CHECK(moe::float16(65519.0).bits == 0x7bff);
    CHECK(moe::float16(65520.0).bits == 0x7c00);
    CHECK(moe::float16(-std::ldexp(1.0, -25)).bits == 0x8000);  // half of the least subnormal: a tie, to even
    CHECK(moe::float16(3).bits == 0x4200);
    CHECK(moe::bfloat16(1.0 + std::ldexp(1.0, -8) + std::ldexp(1.0, -40)).bits == 0x3f81);
    CHECK(moe::bfloat16(1.0f + std::ldexp(1.0f, -8)).bits == 0x3f80);
}
