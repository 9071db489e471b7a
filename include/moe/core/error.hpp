// core/error: what bad input throws, always naming the tensor or option, what was wanted and what was got
// SPDX-License-Identifier: Apache-2.0
//
// Constructors and the checks at the start of a call throw; kernels never do. Every check runs before any work, so an
// exception leaves the layer and its outputs as they were.
#pragma once

#include <stdexcept>
#include <string>

#include "moe/core/config.hpp"

MOE_BEGIN

struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A matrix or array has the wrong size.
struct shape_error : error {
    using error::error;
};

// An option or an entry has a value it must not have.
struct value_error : error {
    using error::error;
};

// A file cannot be read or written, or is not what was asked for.
struct io_error : error {
    using error::error;
};

namespace detail {

inline std::string wanted_got(const std::string& name, const std::string& wanted, const std::string& got) {
    return std::string("moe: ") + name + ": wanted " + wanted + ", got " + got;
}

inline std::string shape_text(std::size_t rows, std::size_t cols) {
    return std::string("[") + std::to_string(rows) + ", " + std::to_string(cols) + "]";
}

}  // namespace detail

[[noreturn]] inline void throw_shape(const std::string& name, const std::string& wanted, const std::string& got) {
    throw shape_error(detail::wanted_got(name, wanted, got));
}

[[noreturn]] inline void throw_value(const std::string& name, const std::string& wanted, const std::string& got) {
    throw value_error(detail::wanted_got(name, wanted, got));
}

// Counts that enter the library as size_t leave it as index_t or not at all.
inline index_t checked_index(std::size_t count, const char* name) {
    constexpr std::size_t largest = 2147483647;
    if (count > largest) throw_shape(name, "at most 2147483647", std::to_string(count));
    return static_cast<index_t>(count);
}

MOE_END
