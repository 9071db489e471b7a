// SPDX-License-Identifier: Apache-2.0
#include "support/model_options.hpp"

namespace example {

void settle(model_options& o) {
    if (o.help) return;
    if (o.k > o.experts) refuse("k", "at most --experts, " + std::to_string(o.experts), std::to_string(o.k));
    if (o.router == router_kind::sigmoid_bias && o.given.count("aux") == 0) o.aux = 0;
}

void adopt(model_options& chosen, const model_options& saved) {
    const auto agree = [&](const char* name, const std::string& wanted, const std::string& got) {
        require_as_saved(chosen.given, chosen.load, name, wanted, got);
    };
    agree("router", name_of(saved.router), name_of(chosen.router));
    agree("experts", std::to_string(saved.experts), std::to_string(chosen.experts));
    agree("k", std::to_string(saved.k), std::to_string(chosen.k));
    agree("hidden", std::to_string(saved.hidden), std::to_string(chosen.hidden));
    agree("seed", std::to_string(saved.seed), std::to_string(chosen.seed));
    chosen.router = saved.router;
    chosen.experts = saved.experts;
    chosen.k = saved.k;
    chosen.hidden = saved.hidden;
    chosen.seed = saved.seed;
}

}  // namespace example
