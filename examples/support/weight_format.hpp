// examples/support/weight_format: the names of the forms in which an example keeps its experts
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace example {

// int8, int4 and int4_zero in groups of 32; experts/weight_storage.hpp says what they are.
enum class weight_format { f32, bf16, f16, int8, int8_rows, int4, int4_zero };

const char* name_of(weight_format format);

// Throws usage_error naming them all.
weight_format weight_format_named(const std::string& option, const std::string& text);

// "f32, bf16, ... or int4_zero"
std::string weight_format_names();

}  // namespace example
