// examples/digits/saved: both trained models to a file and back, bit for bit
// SPDX-License-Identifier: Apache-2.0
//
// The settings in front of the models are the options that settle their shape and the split.
#pragma once

#include <string>

#include "model.hpp"
#include "options.hpp"

namespace digits {

struct both_models {
    classifier mixture, dense;

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        classifier::parameters(moe::nested(v, "mixture"), p.mixture...);
        classifier::parameters(moe::nested(v, "dense"), p.dense...);
    }
    template <class V, class... P>
    static void state(V&& v, P&... p) {
        classifier::state(moe::nested(v, "mixture"), p.mixture...);
        classifier::state(moe::nested(v, "dense"), p.dense...);
    }
};

both_models make_models(const options& chosen);

// Throws usage_error if chosen.save cannot be written.
void save_models(const options& chosen, both_models& models);

// Reads chosen.load, takes over its options. Throws usage_error or moe::io_error.
both_models load_models(options& chosen);

}  // namespace digits
