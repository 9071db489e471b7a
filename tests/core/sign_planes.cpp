#include "moe/core/sign_planes.hpp"

#include <cmath>

#include "moe/core/rng.hpp"
#include "moe/core/tensor_ref.hpp"
#include "support/catch.hpp"

using moe::index_t;

namespace {

moe::matrix<float> normal(index_t rows, index_t cols, std::uint64_t seed) {
    moe::matrix<float> m(rows, cols);
    const moe::random_stream random(seed, moe::stream_id("tests.planes"));
    for (index_t n = 0; n < rows; ++n) {
        for (index_t k = 0; k < cols; ++k) {
            m(n, k) = static_cast<float>(random.normal(std::uint64_t(n), std::uint32_t(k)));
        }
    }
    return m;
}

// Of a row, weighted.
template <index_t group>
double squared_error(const moe::matrix<float>& m, const moe::sign_planes<group>& w, int bits, index_t row,
                     const std::vector<double>& moments) {
    moe::matrix<float> got(m.rows(), m.cols());
    w.read(0, bits, got.view());
    double sum = 0;
    for (index_t k = 0; k < m.cols(); ++k) {
        sum += moments[std::size_t(k)] * std::pow(double(m(row, k)) - double(got(row, k)), 2);
    }
    return sum;
}

}  // namespace

TEST_CASE("every sign plane lowers the weighted squared error of a group by its scale squared times the weights") {
    const auto m = normal(5, 90, 1);
    std::vector<double> even(90, 1.0), uneven(90);
    double all = 0;
    for (std::size_t k = 0; k < 90; ++k) all += uneven[k] = 0.1 + double(k * k % 17);
    const auto check = [&](const std::vector<double>& moments, double total, bool given) {
        moe::sign_planes<moe::whole_rows> w(1, 5, 90, 5);
        if (given) w.assign(0, m.view(), moments);
        else w.assign(0, m.view());
        for (index_t row = 0; row < 5; ++row) {
            for (int bits = 3; bits <= 5; ++bits) {
                const double s = double(w.plane(bits).scale(0, row, 0).scale) / 2;
                const double before = squared_error(m, w, bits - 1, row, moments);
                CHECK(s > 0);
                CHECK(squared_error(m, w, bits, row, moments) == Approx(before - total * s * s).epsilon(1e-5));
            }
        }
    };
    check(even, 90, false);
    check(uneven, all, true);
}

TEST_CASE("sign planes: the least-squares scale errs no more than scales beside it") {
    const auto m = normal(3, 64, 2);
    std::vector<double> moments(64);
    for (std::size_t k = 0; k < 64; ++k) moments[k] = double(k % 5);
    moe::sign_planes<moe::whole_rows> w(1, 3, 64, 3);
    w.assign(0, m.view(), moments);
    moe::matrix<float> base(3, 64);
    w.read(0, 2, base.view());
    for (index_t n = 0; n < 3; ++n) {
        const double s = double(w.plane(3).scale(0, n, 0).scale) / 2;
        const auto error = [&](double scale) {
            double sum = 0;
            for (index_t k = 0; k < 64; ++k) {
                const double r = double(m(n, k)) - double(base(n, k));
                sum += moments[std::size_t(k)] * std::pow(r - (r >= 0 ? scale : -scale), 2);
            }
            return sum;
        };
        CHECK(error(s) < error(s * 1.02));
        CHECK(error(s) < error(s * 0.98));
        CHECK(squared_error(m, w, 3, n, moments) == Approx(error(s)).epsilon(1e-5));
    }
}

TEST_CASE("sign planes take one bit a weight each and their scales, in panels that are saved like any other") {
    const moe::sign_planes<64> w(2, 128, 256, 4);
    CHECK(w.bits() == 4);
    CHECK(w.bits_per_weight(2) == 2.5);
    CHECK(w.bits_per_weight(4) == 5.5);  // scales and zero points in float16: half a bit each
    CHECK(moe::codes_type<moe::sign_panels<64>::value_type> !=
          moe::codes_type<moe::int2_zero_panels<64>::value_type>);
    CHECK(moe::name_of(moe::scalar_type_of<moe::sign_panels<64>::value_type>()) ==
          "codes of 1 bits, a scale for 64 inputs, zero points");
}

TEST_CASE("sign planes: zeros stay zeros, groups that are not finite are NaN, and wrong widths are named") {
    moe::matrix<float> m(2, 70);
    m(1, 3) = std::numeric_limits<float>::infinity();
    moe::sign_planes<32> w(1, 2, 70, 4);
    w.assign(0, m.view());
    moe::matrix<float> got(2, 70);
    for (const int bits : {2, 3, 4}) {
        w.read(0, bits, got.view());
        for (index_t k = 0; k < 70; ++k) CHECK(got(0, k) == 0.0f);
        CHECK(std::isnan(got(1, 3)));
        CHECK(std::isnan(got(1, 31)));
        CHECK(got(1, 32) == 0.0f);
    }
    CHECK_THROWS_WITH(w.read(0, 5, got.view()), Catch::Contains("2 to 4") && Catch::Contains("5"));
    CHECK_THROWS_AS(w.plane(2), moe::value_error);
    CHECK_THROWS_AS((moe::sign_planes<32>(1, 2, 70, 9)), moe::value_error);
    CHECK_THROWS_AS(w.assign(1, m.view()), moe::value_error);
    CHECK_THROWS_AS(w.assign(0, m.view(), std::vector<double>(69)), moe::shape_error);
    // No input of the group was seen: all count alike.
    moe::sign_planes<32> unseen(1, 2, 70, 3), plain(1, 2, 70, 3);
    const auto random = normal(2, 70, 3);
    unseen.assign(0, random.view(), std::vector<double>(70, 0.0));
    plain.assign(0, random.view());
    CHECK(unseen.plane(3).scale(0, 1, 1).scale == plain.plane(3).scale(0, 1, 1).scale);
}
