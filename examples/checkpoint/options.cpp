// checkpoint: what the command line says
// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <vector>

#include "support/command_line.hpp"

namespace {

using example::option;
using text = const std::string&;

moe::io::expert_layout layout_named(text name, text value) {
    std::string known;
    for (int i = 0; i <= static_cast<int>(moe::io::expert_layout::flattened); ++i) {
        const auto layout = static_cast<moe::io::expert_layout>(i);
        if (value == moe::io::name_of(layout)) return layout;
        known += (known.empty() ? "" : ", ") + std::string(moe::io::name_of(layout));
    }
    example::refuse(name, known, value);
}

constexpr option<options> table[] = {
    {"layer", "N", "which layer to load and run (default: the first with experts)",
     [](options& o, text name, text v) { o.layer = example::integer<std::int32_t>(name, v, 0, 99999); }},
    {"input", "FILE", "a safetensors file with x [tokens, features] (default: random numbers)",
     [](options& o, text name, text v) { o.input = example::file_name(name, v); }},
    {"tokens", "N", "how many random tokens (default 64)",
     [](options& o, text name, text v) { o.tokens = example::integer<std::int32_t>(name, v, 1, 65536); }},
    {"seed", "N", "of the random tokens (default 1)",
     [](options& o, text name, text v) { o.seed = example::integer<std::uint64_t>(name, v, 0, 1u << 30); }},
    {"threads", "N", "threads (default: as the backend decides)",
     [](options& o, text name, text v) { o.threads = example::integer<std::int32_t>(name, v, 1, 1024); }},
    {"svg", "FILE", "write the routing map, experts by tokens",
     [](options& o, text name, text v) { o.svg = example::file_name(name, v); }},
    {"layout", "NAME", "how the experts are stored, where their shapes do not tell",
     [](options& o, text name, text v) { o.layout = layout_named(name, v); }},
    {"prefix", "TEXT", "in front of the names of the layer's tensors, where the usual one does not fit",
     [](options& o, text, text v) { o.prefix = v; }},
};

}  // namespace

options read_options(int argc, const char* const* argv) {
    std::string folder;
    bool list = false;
    std::vector<const char*> words = {argv[0]};
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const bool value = i > 1 && std::string(argv[i - 1]).starts_with("--") && argv[i - 1] != std::string("--list") &&
                           std::string(argv[i - 1]).find('=') == std::string::npos;
        if (word == "--list") list = true;
        else if (!value && folder.empty() && !word.starts_with("--")) folder = word;
        else words.push_back(argv[i]);
    }
    options o = example::read_words<options>(table, static_cast<int>(words.size()), words.data());
    o.folder = folder;
    o.list = list;
    if (!o.help && folder.empty()) throw example::usage_error("wanted the folder of a model; --help lists the options");
    return o;
}

std::string help_text() {
    return "usage: checkpoint DIR [--list] [options]\n\n"
           "Loads a mixture-of-experts layer of a model on disk (config.json and safetensors files), runs it and prints\n"
           "what it is made of and how it spreads the tokens. --list prints the layers with experts instead.\n\n" +
           example::option_lines<options>(table);
}
