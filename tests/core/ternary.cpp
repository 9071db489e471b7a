#include <cmath>

#include "moe/core/quantized_panels.hpp"
#include "support/catch.hpp"

using moe::index_t;

namespace {

template <class W>
W rounded(const moe::matrix<float>& m) {
    W w(1, m.rows(), m.cols());
    w.assign(0, m.view());
    return w;
}

}  // namespace

TEMPLATE_TEST_CASE("ternary weights of two magnitudes a and -a, or zeros, are kept as they are", "",
                   moe::ternary_panels<32>, moe::packed_ternary_panels) {
    moe::matrix<float> m(67, 150);
    for (index_t n = 0; n < 67; ++n) {
        for (index_t k = 0; k < 150; ++k) m(n, k) = n % 5 == 0 ? 0.0f : ((n + k * k) % 3 == 0 ? 0.125f : -0.125f);
    }
    const auto w = rounded<TestType>(m);
    for (index_t n = 0; n < 67; ++n) {
        for (index_t k = 0; k < 150; ++k) REQUIRE(w(0, n, k) == m(n, k));
    }
}

TEMPLATE_TEST_CASE("ternary weights are the weights over their mean magnitude rounded to -1, 0 or 1, ties to 0", "",
                   moe::ternary_panels<moe::whole_rows>, moe::packed_ternary_panels) {
    // Mean magnitude 1.
    const float weights[] = {0.5f, -0.5f, 0.75f, -0.75f, 2.5f, -2.5f, 0.25f, -0.25f};
    const float wanted[] = {0, 0, 1, -1, 1, -1, 0, 0};
    moe::matrix<float> m(1, 8);
    for (index_t k = 0; k < 8; ++k) m(0, k) = weights[k];
    const auto w = rounded<TestType>(m);
    CHECK(w.scale(0, 0, 0).scale == 1.0f);
    for (index_t k = 0; k < 8; ++k) CHECK(w(0, 0, k) == wanted[k]);
}

TEST_CASE("ternary weights: a group with a number that is not finite is NaN, groups beside it are not") {
    moe::matrix<float> m(2, 40);
    for (float& v : m.span()) v = 1;
    m(0, 3) = std::numeric_limits<float>::infinity();
    m(1, 35) = std::numeric_limits<float>::quiet_NaN();
    const auto w = rounded<moe::ternary_panels<32>>(m);
    CHECK(std::isnan(w(0, 0, 0)));
    CHECK(w(0, 0, 35) == 1.0f);
    CHECK(w(0, 1, 0) == 1.0f);
    CHECK(std::isnan(w(0, 1, 39)));
}

TEST_CASE("packed ternary weights: every five digits make a byte that gives them back") {
    using format = moe::packed_ternary_panels::format;
    for (int number = 0; number < 243; ++number) {
        unsigned char byte = 0;
        for (int i = 0, rest = number; i < 5; ++i, rest /= 3) byte = format::set(byte, i, rest % 3);
        for (int i = 0, rest = number; i < 5; ++i, rest /= 3) REQUIRE(format::get(byte, i) == rest % 3);
    }
}

TEST_CASE("ternary weights take 2 bits, packed 1.6 bits, and the scales") {
    const moe::ternary_panels<32> groups(2, 128, 256);
    CHECK(groups.bits_per_weight() == 2.5);
    const moe::ternary_panels<moe::whole_rows> rows(2, 128, 1600);
    CHECK(rows.bits_per_weight() == 2.02);
    const moe::packed_ternary_panels packed(2, 128, 1600);
    CHECK(packed.bits_per_weight() == Approx(1.62));
}
