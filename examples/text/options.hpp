// examples/text/options: the command line -> one value, or one sentence about what is wrong with it
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "support/model_options.hpp"

namespace text {

using example::name_of;
using example::router_kind;
using example::usage_error;

struct options : example::model_options {
    int steps = 1200;
    int sample = 300;
    double temperature = 0.7;
    std::string text, routes;

    options() { hidden = 64; }
};

// Throws usage_error.
options read_command_line(int argc, const char* const* argv);

std::string help_text();

}  // namespace text
