// checkpoint: what the command line says
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "moe/io/expert_layout.hpp"

struct options {
    bool help = false;
    std::set<std::string> given;

    std::string folder;  // of the model
    bool list = false;
    std::int32_t layer = -1;  // -1: the first with experts
    std::string input;
    std::int32_t tokens = 64;
    std::uint64_t seed = 1;
    std::int32_t threads = 0;  // 0: as the backend decides
    std::string svg;
    std::optional<moe::io::expert_layout> layout;
    std::string prefix;
};

// Throws example::usage_error.
options read_options(int argc, const char* const* argv);
std::string help_text();
