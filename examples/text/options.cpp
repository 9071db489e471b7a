// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <sstream>

namespace text {

namespace {

constexpr router_kind kinds[] = {router_kind::topk, router_kind::topp,         router_kind::threshold,
                                 router_kind::null, router_kind::sigmoid_bias, router_kind::expert_choice};

using example::file_name;
using example::integer;
using example::real;
using words = const std::string&;

const example::option<options> table[] = {
    {"text", "FILE", "what to learn, any bytes (default /usr/share/common-licenses/GPL-3)",
     [](options& o, words n, words t) { o.text = file_name(n, t); }},
    {"router", "NAME", "of both layers: topk, topp, threshold, null or sigmoid-bias (default topk)",
     [](options& o, words n, words t) { o.router = example::router_named(kinds, n, t); }},
    {"experts", "N", "number of experts per layer, 1 to 256 (default 8)",
     [](options& o, words n, words t) { o.experts = integer(n, t, 1, 256); }},
    {"k", "N", "experts per character, at most --experts (default 2); see below",
     [](options& o, words n, words t) { o.k = integer(n, t, 1, 256); }},
    {"hidden", "N", "hidden width of one expert, 1 to 4096 (default 64)",
     [](options& o, words n, words t) { o.hidden = integer(n, t, 1, 4096); }},
    {"aux", "X", "weight of the load-balance losses, 0 to 100 (default 0.01; sigmoid-bias 0)",
     [](options& o, words n, words t) { o.aux = real(n, t, 100); }},
    {"steps", "N", "training steps, 1 to 1000000 (default 1200)",
     [](options& o, words n, words t) { o.steps = integer(n, t, 1, 1000000); }},
    {"threads", "N", "1 to 256 (default: what the machine runs at once); changes no bit of the result",
     [](options& o, words n, words t) { o.threads = integer(n, t, 1, 256); }},
    {"seed", "N", "of the first weights, the batches and the sample (default 1)",
     [](options& o, words n, words t) { o.seed = integer<std::uint64_t>(n, t, 0, ~std::uint64_t{0}); }},
    {"sample", "N", "characters to write at the end, 0 to 100000 (default 300)",
     [](options& o, words n, words t) { o.sample = integer(n, t, 0, 100000); }},
    {"temperature", "X", "of the sample, 0 to 10 (default 0.7); 0 takes the likeliest character",
     [](options& o, words n, words t) { o.temperature = real(n, t, 10); }},
    {"save", "FILE", "write the trained model", [](options& o, words n, words t) { o.save = file_name(n, t); }},
    {"load", "FILE", "read the model instead of training; --aux and --steps are not used",
     [](options& o, words n, words t) { o.load = file_name(n, t); }},
    {"weights", "NAME", "keep trained experts in f32, bf16, f16, int8, int8_rows, int4 or int4_zero (default f32)",
     [](options& o, words n, words t) { o.weights = example::weight_format_named(n, t); }},
    {"svg", "FILE", "draw which expert serves which character, and which experts go together",
     [](options& o, words n, words t) { o.svg = file_name(n, t); }},
    {"routes", "FILE", "write which experts of the second layer the first 512 held-out characters use, a line each",
     [](options& o, words n, words t) { o.routes = file_name(n, t); }},
    {"json", "FILE", "write the results", [](options& o, words n, words t) { o.json = file_name(n, t); }},
};

}  // namespace

options read_command_line(int argc, const char* const* argv) {
    options o = example::read_words<options>(table, argc, argv);
    example::settle(o);
    return o;
}

std::string help_text() {
    std::ostringstream out;
    out << "Trains a character model with two mixture-of-experts layers on a text, and holds the last tenth of it "
           "out.\n"
           "\n"
           "usage: text [--option value]...\n"
           "\n"
        << example::option_lines<options>(table)
        << "\n"
           "routers\n"
           "  topk            softmax, the k best experts, their weights sum to 1\n"
           "  topp            softmax, the best experts until their scores reach 0.6; k is not used\n"
           "  threshold       sigmoid, all experts above a threshold that follows the batches: about k of them\n"
           "  null            softmax over the experts and as many that do nothing, the 2k best of them\n"
           "  sigmoid-bias    sigmoid, the k best after adding a bias that is steered by the load\n"
           "  expert-choice   is refused: what an expert takes depends on later characters\n"
           "\n"
           "The last line printed is `bits per character: N.NNN` on the held-out tenth.\n"
           "Status: 0 done, 1 failed, 2 wrong options or a file that cannot be used.\n";
    return out.str();
}

}  // namespace text
