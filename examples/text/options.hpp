// examples/text/options: the command line -> one value, or one sentence about what is wrong with it
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "support/command_line.hpp"
#include "support/router_kind.hpp"

namespace text {

using example::name_of;
using example::router_kind;
using example::usage_error;

struct options {
    router_kind router = router_kind::topk;
    int experts = 8;
    int k = 2;
    int hidden = 64;
    double aux = 0.01;
    int steps = 1200;
    int threads = 0;  // 0: as many as the machine runs at once
    std::uint64_t seed = 1;
    int sample = 300;
    double temperature = 0.7;
    std::string text, save, load, svg, json;
    bool help = false;
    std::set<std::string> given;  // names of the options on the command line, without dashes
};

// Throws usage_error.
options read_command_line(int argc, const char* const* argv);

// Takes over what a saved model settles: router, experts, k, hidden and seed. Throws usage_error where the command line
// says something else.
void adopt(options& chosen, const options& saved);

std::string help_text();

}  // namespace text
