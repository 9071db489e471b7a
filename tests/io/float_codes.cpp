#include "moe/core/float_codes.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "moe/io/byte_file.hpp"
#include "moe/io/safetensors.hpp"
#include "support/catch.hpp"

namespace {

const std::string data = std::string(MOE_TEST_SOURCE_DIR) + "/tests/io/data/";

// The formula of the header, in double.
double formula(unsigned code, int exponent_bits, int fraction_bits) {
    const int exponent = int(code >> fraction_bits) & ((1 << exponent_bits) - 1);
    const int fraction = int(code) & ((1 << fraction_bits) - 1);
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int significand = exponent == 0 ? fraction : (1 << fraction_bits) + fraction;
    const double magnitude = std::ldexp(significand, std::max(exponent, 1) - bias - fraction_bits);
    return (code >> (exponent_bits + fraction_bits)) & 1 ? -magnitude : magnitude;
}

bool same(double a, double b) { return a == b && std::signbit(a) == std::signbit(b); }

// Over all codes of a format whose last exponent stands for infinities and NaN.
template <class F>
int wrong_values(int exponent_bits, int fraction_bits, const F& decode) {
    int wrong = 0;
    for (unsigned code = 0; code >> (exponent_bits + fraction_bits + 1) == 0; ++code) {
        const float value = decode(code);
        const bool negative = code >> (exponent_bits + fraction_bits) != 0;
        const bool special = ((code >> fraction_bits) + 1) % (1u << exponent_bits) == 0;
        if (!special) wrong += !same(value, formula(code, exponent_bits, fraction_bits));
        else if (code % (1u << fraction_bits) == 0) wrong += !same(value, negative ? -INFINITY : INFINITY);
        else wrong += !std::isnan(value) || std::signbit(value) != negative;
    }
    return wrong;
}

template <class F>
std::uint64_t hash_of_all(const F& decode) {
    std::vector<unsigned char> bytes;
    for (unsigned code = 0; code < 65536; ++code) {
        const float value = decode(static_cast<std::uint16_t>(code));
        moe::detail::append(bytes, std::isnan(value) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(value));
    }
    return moe::detail::fnv1a(bytes);
}

template <class T>
std::vector<T> tensor(const moe::safetensors_file& file, const std::string& name) {
    const moe::stored_tensor& t = file.at(name);
    std::vector<T> out(static_cast<std::size_t>(t.rows() * t.cols()));
    t.read(std::span(out));
    return out;
}

// Rounding between all neighbouring codes from 0 on: to the nearer one, and to the even one from the middle.
template <class Decode, class Encode>
int wrong_roundings(unsigned largest, const Decode& decode, const Encode& encode) {
    int wrong = 0;
    for (unsigned code = 0; code < largest; ++code) {
        const double low = decode(static_cast<std::uint16_t>(code));
        const double high = decode(static_cast<std::uint16_t>(code + 1));
        const double middle = low + (high - low) / 2;  // exact in double
        wrong += encode(low) != code;
        wrong += encode(middle) != code + code % 2;
        wrong += encode(std::nextafter(middle, 0.0)) != code;
        wrong += encode(std::nextafter(middle, INFINITY)) != code + 1;
        wrong += encode(-std::nextafter(middle, INFINITY)) != (0x8000u | (code + 1));
    }
    return wrong;
}

}  // namespace

static_assert(moe::from_f16(0x3c00) == 1.0f && moe::from_bf16(0x3f80) == 1.0f && moe::to_f16(1.0) == 0x3c00);
static_assert(moe::from_e4m3(0x7e) == 448.0f && moe::from_e5m2(0x7b) == 57344.0f && moe::from_e2m1(15) == -6.0f);

TEST_CASE("every code of f16, bf16 and e5m2 has the value of the formula") {
    CHECK(wrong_values(5, 10, [](unsigned c) { return moe::from_f16(static_cast<std::uint16_t>(c)); }) == 0);
    CHECK(wrong_values(8, 7, [](unsigned c) { return moe::from_bf16(static_cast<std::uint16_t>(c)); }) == 0);
    CHECK(wrong_values(5, 2, [](unsigned c) { return moe::from_e5m2(static_cast<std::uint8_t>(c)); }) == 0);
}

TEST_CASE("every code of e4m3, e2m1 and e8m0 has the value of the formula") {
    int wrong = 0;
    for (unsigned code = 0; code < 256; ++code) {
        const auto byte = static_cast<std::uint8_t>(code);
        const float e4m3 = moe::from_e4m3(byte), e8m0 = moe::from_e8m0(byte);
        wrong += (code & 127) == 127 ? !std::isnan(e4m3) : !same(e4m3, formula(code, 4, 3));
        wrong += !same(moe::from_e2m1(byte), formula(code & 15, 2, 1));
        wrong += code == 255 ? !std::isnan(e8m0) : e8m0 != std::ldexp(1.0, int(code) - 127);
    }
    CHECK(wrong == 0);
}

TEST_CASE("every code has the value that numpy and ml_dtypes give it") {
    const moe::safetensors_file file(data + "codes.safetensors");
    CHECK(hash_of_all(moe::from_f16) == tensor<std::uint64_t>(file, "f16.hash")[0]);
    CHECK(hash_of_all(moe::from_bf16) == tensor<std::uint64_t>(file, "bf16.hash")[0]);
    const auto compare = [&](const char* name, float (*decode)(std::uint8_t), std::size_t codes) {
        const auto expected = tensor<float>(file, name);
        REQUIRE(expected.size() == codes);
        int wrong = 0;
        for (std::size_t c = 0; c < codes; ++c) {
            const float value = decode(static_cast<std::uint8_t>(c));
            wrong += std::isnan(expected[c]) ? !std::isnan(value) : !same(value, expected[c]);
        }
        INFO(name);
        CHECK(wrong == 0);
    };
    compare("e4m3", moe::from_e4m3, 256);
    compare("e5m2", moe::from_e5m2, 256);
    compare("e8m0", moe::from_e8m0, 256);
    compare("e2m1", moe::from_e2m1, 16);
}

TEST_CASE("values are rounded to the codes that numpy and ml_dtypes round them to") {
    const moe::safetensors_file file(data + "codes.safetensors");
    const auto values = tensor<float>(file, "value");
    REQUIRE(values.size() > 800);
    const auto compare = [&](const char* name, std::uint16_t (*encode)(double)) {
        const auto expected = file.at(name).bytes;
        int wrong = 0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            std::uint16_t code;
            std::memcpy(&code, expected.data() + 2 * i, 2);
            wrong += encode(values[i]) != code;
        }
        INFO(name);
        CHECK(wrong == 0);
    };
    compare("value.f16", moe::to_f16);
    compare("value.bf16", moe::to_bf16);
}

TEST_CASE("encoding rounds to the nearest code, ties to even, and what is too large becomes infinity") {
    CHECK(wrong_roundings(0x7bff, moe::from_f16, moe::to_f16) == 0);
    CHECK(wrong_roundings(0x7f7f, moe::from_bf16, moe::to_bf16) == 0);
    CHECK(moe::to_f16(65519.99) == 0x7bff);
    CHECK(moe::to_f16(65520) == 0x7c00);
    CHECK(moe::to_f16(-1e300) == 0xfc00);
    CHECK(moe::to_f16(-1e-300) == 0x8000);
    CHECK(moe::to_f16(5e-324) == 0);
    CHECK(moe::to_bf16(1e300) == 0x7f80);
    CHECK(moe::to_bf16(-INFINITY) == 0xff80);
}

TEST_CASE("NaN stays NaN and keeps its sign") {
    CHECK(moe::to_f16(NAN) == 0x7e00);
    CHECK(moe::to_bf16(-std::numeric_limits<double>::quiet_NaN()) == 0xffc0);
    // A payload that the upper bits do not show.
    CHECK(moe::to_f16(std::bit_cast<double>(0x7ff0000000000001ull)) == 0x7e00);
    using codes = std::initializer_list<std::uint16_t>;
    for (const auto code : codes{0x7e00, 0x7e01, 0xfeab}) CHECK(moe::to_f16(moe::from_f16(code)) == code);
    for (const auto code : codes{0x7fc0, 0x7fc1, 0xffd5}) CHECK(moe::to_bf16(moe::from_bf16(code)) == code);
}
