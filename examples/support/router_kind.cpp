// SPDX-License-Identifier: Apache-2.0
#include "router_kind.hpp"

#include <algorithm>

#include "command_line.hpp"

namespace example {

const char* name_of(router_kind kind) {
    switch (kind) {
        case router_kind::topk:
            return "topk";
        case router_kind::topp:
            return "topp";
        case router_kind::expert_choice:
            return "expert-choice";
        case router_kind::null:
            return "null";
        case router_kind::sigmoid_bias:
            return "sigmoid-bias";
        case router_kind::threshold:
            return "threshold";
    }
    return "";
}

std::string names_of(std::span<const router_kind> kinds) {
    std::string out;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        out += i == 0 ? "" : i + 1 == kinds.size() ? " or " : ", ";
        out += name_of(kinds[i]);
    }
    return out;
}

router_kind router_named(std::span<const router_kind> kinds, const std::string& option, const std::string& text) {
    const auto found =
        std::find_if(kinds.begin(), kinds.end(), [&](router_kind kind) { return text == name_of(kind); });
    if (found == kinds.end()) refuse(option, names_of(kinds), text);
    return *found;
}

}  // namespace example
