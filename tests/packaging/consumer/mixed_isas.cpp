// tests/packaging: hands a moe object to a function of another translation unit
// SPDX-License-Identifier: Apache-2.0
#include "moe/core/storage.hpp"

float first(const moe::matrix<float>& x);

int main() {
    moe::matrix<float> x(1, 1);
    x(0, 0) = 5.0f;
    return first(x) == 5.0f ? 0 : 1;
}
