// examples/digits/options: the command line -> one value, or one sentence about what is wrong with it
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "support/model_options.hpp"

namespace digits {

using example::name_of;
using example::router_kind;
using example::usage_error;

struct options : example::model_options {
    int shared = 0;
    int epochs = 60;
    std::string data;
};

// Throws usage_error.
options read_command_line(int argc, const char* const* argv);

// Takes over what a saved model settles: router, experts, k, hidden, shared and seed. Throws usage_error where the
// command line says something else.
void adopt(options& chosen, const options& saved);

std::string help_text();

}  // namespace digits
