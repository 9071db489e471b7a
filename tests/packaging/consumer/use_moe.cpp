// tests/packaging: the whole library through moe::moe, which brings Eigen, xsimd and threads
// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Core>
#include <cstdio>
#include <thread>

#include "slice.hpp"

int main() {
    const sums first = slice();
    sums second;
    std::thread other([&] { second = slice(); });
    other.join();
    std::printf("%s: %.6f %.6f\n", MOE_STRING(MOE_ABI), static_cast<double>(first.y), static_cast<double>(first.dx));
    const Eigen::Vector2f difference(first.y - second.y, first.dx - second.dx);
    return first.y > 0 && first.dx > 0 && difference.isZero(0) ? 0 : 1;
}
