// examples/support/router_kind: the names of the routers that an example offers
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

namespace example {

// Their order is that of saved models.
enum class router_kind { topk, topp, expert_choice, null, sigmoid_bias, threshold };

const char* name_of(router_kind kind);

// One of `kinds`; throws usage_error naming them all.
router_kind router_named(std::span<const router_kind> kinds, const std::string& option, const std::string& text);

// "topk, topp or null"
std::string names_of(std::span<const router_kind> kinds);

}  // namespace example
