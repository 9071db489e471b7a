// tests/packaging: the vocabulary alone, with no other library on the include path
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "moe/core/storage.hpp"
#include "moe/core/version.hpp"

int main() {
    moe::matrix<float> x(2, 3);
    x(1, 2) = 4.0f;
    std::printf("moe %d.%d.%d, %d x %d\n", MOE_VERSION_MAJOR, MOE_VERSION_MINOR, MOE_VERSION_PATCH,
                static_cast<int>(x.rows()), static_cast<int>(x.cols()));
    return x(1, 2) == 4.0f && x(0, 0) == 0.0f ? 0 : 1;
}
