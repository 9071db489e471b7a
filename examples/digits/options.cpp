// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <sstream>

namespace digits {

namespace {

constexpr router_kind kinds[] = {router_kind::topk, router_kind::topp, router_kind::expert_choice, router_kind::null,
                                 router_kind::sigmoid_bias};

using example::file_name;
using example::integer;
using example::real;
using text = const std::string&;

const example::option<options> table[] = {
    {"router", "NAME", "topk, topp, expert-choice, null or sigmoid-bias (default topk)",
     [](options& o, text n, text t) { o.router = example::router_named(kinds, n, t); }},
    {"experts", "N", "number of experts, 1 to 256 (default 8)",
     [](options& o, text n, text t) { o.experts = integer(n, t, 1, 256); }},
    {"k", "N", "experts per image, at most --experts (default 2); see below",
     [](options& o, text n, text t) { o.k = integer(n, t, 1, 256); }},
    {"hidden", "N", "hidden width of one expert, 1 to 4096 (default 32)",
     [](options& o, text n, text t) { o.hidden = integer(n, t, 1, 4096); }},
    {"shared", "N", "experts beside the routed ones that see every image, 0 to 16 (default 0)",
     [](options& o, text n, text t) { o.shared = integer(n, t, 0, 16); }},
    {"aux", "X", "weight of the load-balance loss, 0 to 100 (default 0.01; sigmoid-bias 0)",
     [](options& o, text n, text t) { o.aux = real(n, t, 100); }},
    {"epochs", "N", "passes over the training images, 1 to 100000 (default 60)",
     [](options& o, text n, text t) { o.epochs = integer(n, t, 1, 100000); }},
    {"threads", "N", "1 to 256 (default: what the machine runs at once); changes no bit of the result",
     [](options& o, text n, text t) { o.threads = integer(n, t, 1, 256); }},
    {"seed", "N", "of the split, the first weights, the order and the distortions (default 1)",
     [](options& o, text n, text t) { o.seed = integer<std::uint64_t>(n, t, 0, ~std::uint64_t{0}); }},
    {"save", "FILE", "write both trained models", [](options& o, text n, text t) { o.save = file_name(n, t); }},
    {"load", "FILE", "read both models instead of training; --aux and --epochs are not used",
     [](options& o, text n, text t) { o.load = file_name(n, t); }},
    {"weights", "NAME", "keep trained experts in f32, bf16, f16, int8, int8_rows, int4 or int4_zero (default f32)",
     [](options& o, text n, text t) { o.weights = example::weight_format_named(n, t); }},
    {"svg", "FILE", "draw which expert serves which digit",
     [](options& o, text n, text t) { o.svg = file_name(n, t); }},
    {"json", "FILE", "write the results", [](options& o, text n, text t) { o.json = file_name(n, t); }},
    {"data", "FILE", "the images (default: digits.csv beside the source of this program)",
     [](options& o, text n, text t) { o.data = file_name(n, t); }},
};

}  // namespace

options read_command_line(int argc, const char* const* argv) {
    options o = example::read_words<options>(table, argc, argv);
    example::settle(o);
    return o;
}

void adopt(options& chosen, const options& saved) {
    example::require_as_saved(chosen.given, chosen.load, "shared", std::to_string(saved.shared),
                              std::to_string(chosen.shared));
    chosen.shared = saved.shared;
    example::adopt(chosen, saved);
}

std::string help_text() {
    std::ostringstream out;
    out << "Trains a mixture-of-experts classifier, and a dense one beside it, on 8x8 images of handwritten digits.\n"
           "\n"
           "usage: digits [--option value]...\n"
           "\n";
    out << example::option_lines<options>(table)
        << "\n"
           "routers\n"
           "  topk            softmax, the k best experts, their weights sum to 1\n"
           "  topp            softmax, the best experts until their scores reach 0.6; k only sizes the dense model\n"
           "  expert-choice   softmax, each expert takes its best images: k * images / experts of each batch\n"
           "  null            softmax over the experts and as many that do nothing, the 2k best of them\n"
           "  sigmoid-bias    sigmoid, the k best after adding a bias that is steered by the load\n"
           "\n"
           "The last line printed is `accuracy: NN.NN %` of the mixture on the third of the images that was held out.\n"
           "Status: 0 done, 1 failed, 2 wrong options or a file that cannot be used.\n";
    return out.str();
}

}  // namespace digits
