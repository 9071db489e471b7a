// checkpoint: what is printed and drawn
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "loaded.hpp"

// Architecture, composition, tensors and bytes.
void print_layer(const moe::io::checkpoint_model& model, moe::index_t number, const loaded& l, double seconds);

// Loads of the experts.
void print_loads(const moe::load_stats& stats);

// Weights of the routes, experts by tokens, as SVG text.
std::string routing_map(const moe::routing<float>& s, moe::index_t experts, const std::string& title);
