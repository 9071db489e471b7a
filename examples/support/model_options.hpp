// examples/support/model_options: what the command lines of the training programs have in common
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "support/command_line.hpp"
#include "support/router_kind.hpp"
#include "support/weight_format.hpp"

namespace example {

struct model_options {
    router_kind router = router_kind::topk;
    int experts = 8;
    int k = 2;
    int hidden = 32;
    double aux = 0.01;
    int threads = 0;  // 0: as many as the machine runs at once
    std::uint64_t seed = 1;
    weight_format weights = weight_format::f32;  // of the experts that are evaluated
    std::string save, load, svg, json;
    bool help = false;
    std::set<std::string> given;  // names of the options on the command line, without dashes
};

// What no option says by itself: k is at most experts; a router that is steered needs no loss. Throws usage_error.
void settle(model_options& o);

// Takes over what a saved model settles: router, experts, k, hidden and seed. Throws usage_error where the command line
// says something else.
void adopt(model_options& chosen, const model_options& saved);

}  // namespace example
