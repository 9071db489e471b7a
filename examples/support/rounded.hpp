// examples/support/rounded: a trained layer -> the same with the weights of its experts in fewer bits
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mixture.hpp"
#include "weight_format.hpp"

namespace example {

// Throws usage_error unless `layer` is a mixture with the router topk and no shared experts, or the format is f32.
void require_rounds(weight_format format, ffn_layer& layer);

// Rounds to nearest; the router stays as it is. Throws as above.
ffn_layer rounded(weight_format format, ffn_layer& trained);

}  // namespace example
