// SPDX-License-Identifier: Apache-2.0
#include "weight_format.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "command_line.hpp"

namespace example {

namespace {

constexpr std::pair<weight_format, const char*> names[] = {
    {weight_format::f32, "f32"},   {weight_format::bf16, "bf16"},           {weight_format::f16, "f16"},
    {weight_format::int8, "int8"}, {weight_format::int8_rows, "int8_rows"}, {weight_format::int4, "int4"},
    {weight_format::int4_zero, "int4_zero"},
};

}  // namespace

const char* name_of(weight_format format) {
    return std::find_if(std::begin(names), std::end(names), [&](const auto& n) { return n.first == format; })->second;
}

std::string weight_format_names() {
    std::string all;
    for (std::size_t i = 0; i < std::size(names); ++i) {
        all += i == 0 ? "" : i + 1 == std::size(names) ? " or " : ", ";
        all += names[i].second;
    }
    return all;
}

weight_format weight_format_named(const std::string& option, const std::string& text) {
    for (const auto& [format, name] : names) {
        if (text == name) return format;
    }
    refuse(option, weight_format_names(), text);
}

}  // namespace example
