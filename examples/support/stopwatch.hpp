// examples/support/stopwatch: seconds since it was made
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace example {

class stopwatch {
public:
    double seconds() const { return std::chrono::duration<double>(clock::now() - start_).count(); }

private:
    using clock = std::chrono::steady_clock;
    clock::time_point start_ = clock::now();
};

}  // namespace example
