// tests/packaging: the function that mixed_isas.cpp calls
// SPDX-License-Identifier: Apache-2.0
#include "moe/core/storage.hpp"

float first(const moe::matrix<float>& x);
float first(const moe::matrix<float>& x) { return x(0, 0); }
