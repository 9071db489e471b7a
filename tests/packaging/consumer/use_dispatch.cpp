// tests/packaging: kernels for several instruction sets in one program, and the one that was chosen
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "moe/backend/dispatch.hpp"

namespace {

template <class B>
float sum_of_products(B& b) {
    moe::panels<float> w(1, 70, 300);
    moe::matrix<float> x(9, 300), y(9, 70);
    for (moe::index_t n = 0; n < 70; ++n) {
        for (moe::index_t k = 0; k < 300; ++k) w(0, n, k) = static_cast<float>((n + k) % 7 - 3);
    }
    for (std::size_t i = 0; i < x.span().size(); ++i) x.span()[i] = static_cast<float>(i % 5);
    const std::vector<moe::index_t> offset{0, 9};
    moe::kernels_of<B>::grouped_linear(b, {offset, {}}, x.view(), w, {}, y.view());
    float sum = 0;
    for (const float v : y.span()) sum += v;
    return sum;
}

}  // namespace

int main() {
    try {
        moe::dispatched_cpu chosen{{.threads = 2}};
        moe::cpu compiled;
        const float a = sum_of_products(chosen), b = sum_of_products(compiled);
        std::printf("level %s, %d levels, sums %g %g\n", chosen.level(), int(moe::dispatch_levels().size()),
                    static_cast<double>(a), static_cast<double>(b));
        return a == b ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 2;
    }
}
