// examples/text/saved: a trained model and its vocabulary to a file and back, bit for bit
// SPDX-License-Identifier: Apache-2.0
//
// The settings in front of the model are the options that settle its shape, and the bytes it knows.
#pragma once

#include "corpus.hpp"
#include "model.hpp"

namespace text {

struct reader {
    vocabulary known;
    model predict;
};

// Throws usage_error if chosen.save cannot be written.
void save_reader(const options& chosen, reader& r);

// Reads chosen.load, takes over its options. Throws usage_error or moe::io_error.
reader load_reader(options& chosen);

}  // namespace text
