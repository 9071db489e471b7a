// load: layers of published models from their files; an entry header of its own, because it needs a JSON library
// SPDX-License-Identifier: Apache-2.0
//
//     config.json ── architecture ──► preset's options ──► layer ◄── bind_weights ── checkpoint (safetensors or GGUF)
//
// Link moe::io beside moe::moe.
#pragma once

#include "moe/load/load_layer.hpp"
