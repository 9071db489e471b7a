// examples/formats: what an expert loses where its weights are kept in fewer bits, rounded to nearest
// SPDX-License-Identifier: Apache-2.0
//
// One expert, y = (silu(x G^T) * (x U^T)) V^T, with rows of x from a standard normal distribution, and weights from it or
// from Student's t with three degrees of freedom, whose outliers stretch the scale of their group. The error of a format is
// |y - y'| / |y| over all outputs, y' with rounded weights and with inputs as the format's products read them.
#include <cmath>
#include <cstdio>
#include <vector>

#include "moe/backend/cpu.hpp"
#include "moe/experts/activation.hpp"
#include "moe/experts/weight_storage.hpp"
#include "moe/testing/random.hpp"

namespace {

using moe::index_t;

constexpr index_t rows = 64, features = 1024, hidden = 768;

enum class weights { normal, student };

// [outputs,inputs] of variance 1 / inputs.
moe::matrix<float> draw(weights kind, index_t outputs, index_t inputs, std::uint64_t seed) {
    moe::matrix<float> w(outputs, inputs);
    const moe::random_stream random(seed, moe::stream_id("formats.weights"));
    const double size = 1 / std::sqrt(static_cast<double>(inputs));
    for (index_t n = 0; n < outputs; ++n) {
        for (index_t k = 0; k < inputs; ++k) {
            const auto z = [&](index_t i) {
                return random.normal(static_cast<std::uint64_t>(n), static_cast<std::uint32_t>(4 * k + i));
            };
            const double squares = z(1) * z(1) + z(2) * z(2) + z(3) * z(3);
            // Student's t has variance 3.
            const double value = kind == weights::normal ? z(0) : z(0) / std::sqrt(squares);
            w(n, k) = static_cast<float>(size * value);
        }
    }
    return w;
}

struct expert {
    moe::matrix<float> gate, up, down;

    explicit expert(weights kind)
        : gate(draw(kind, hidden, features, 1)), up(draw(kind, hidden, features, 2)),
          down(draw(kind, features, hidden, 3)) {}
};

struct output {
    moe::matrix<float> y;
    double bits;  // of a weight
};

template <class W>
W packed(const moe::matrix<float>& from) {
    W w(1, from.rows(), from.cols());
    w.assign(0, from.view());
    return w;
}

template <class Storage>
output run(const expert& e, const moe::matrix<float>& x) {
    using W = typename Storage::template weights<float>;
    using kernels = moe::kernels_of<moe::cpu>;
    const W gate = packed<W>(e.gate), up = packed<W>(e.up), down = packed<W>(e.down);
    moe::cpu cpu;
    moe::matrix<float> h(rows, hidden), y(rows, features);
    const index_t all[] = {0, rows};
    kernels::grouped_gated_activation(cpu, {all, {}}, x.view(), gate, up, {}, {}, moe::gated<moe::silu>{}, h.view(), {},
                                      {});
    kernels::grouped_linear(cpu, {all, {}}, moe::input_view<float>(h.view()), down, {}, y.view());
    const double bytes = static_cast<double>(gate.span().size_bytes() + up.span().size_bytes() +
                                             down.span().size_bytes());
    return {std::move(y), 8 * bytes / (3.0 * features * hidden)};
}

double relative_error(const moe::matrix<float>& got, const moe::matrix<float>& wanted) {
    double error = 0, size = 0;
    for (std::size_t i = 0; i < wanted.span().size(); ++i) {
        const double right = wanted.span()[i], off = static_cast<double>(got.span()[i]) - right;
        error += off * off;
        size += right * right;
    }
    return std::sqrt(error / size);
}

struct setting {
    expert drawn;
    moe::matrix<float> wanted;
};

template <class Storage>
void print_row(const char* name, const std::vector<setting>& settings, const moe::matrix<float>& x) {
    double bits = 0;
    std::vector<double> errors;
    for (const setting& s : settings) {
        const output out = run<Storage>(s.drawn, x);
        bits = out.bits;
        errors.push_back(relative_error(out.y, s.wanted));
    }
    std::printf("| %s | %.3g |", name, bits);
    for (const double e : errors) std::printf(" %.2g %% |", 100 * e);
    std::printf("\n");
}

}  // namespace

int main() {
    const auto x = moe::testing::random_matrix<float>(rows, features, 4);
    std::vector<setting> settings;
    for (const weights kind : {weights::normal, weights::student}) {
        settings.push_back({expert(kind), {}});
        settings.back().wanted = run<moe::same_scalar>(settings.back().drawn, x).y;
    }
    std::printf("| weights | bits a weight | error, normal | error, Student's t |\n| --- | --- | --- | --- |\n");
    print_row<moe::same_scalar>("f32", settings, x);
    print_row<moe::f16_weights>("f16", settings, x);
    print_row<moe::bf16_weights>("bf16", settings, x);
    print_row<moe::int8_weights<32>>("int8, groups of 32", settings, x);
    print_row<moe::int8_weights<128>>("int8, groups of 128", settings, x);
    print_row<moe::int8_weights<moe::whole_rows>>("int8, whole rows", settings, x);
    print_row<moe::int4_weights<32>>("int4, groups of 32", settings, x);
    print_row<moe::int4_zero_weights<32>>("int4, groups of 32, zero points", settings, x);
    print_row<moe::int4_weights<128>>("int4, groups of 128", settings, x);
    print_row<moe::ternary_weights<32>>("ternary, groups of 32", settings, x);
    print_row<moe::packed_ternary_weights>("ternary, whole rows, five in a byte", settings, x);
}
