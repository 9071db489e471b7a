// io: checkpoints of other programs; an entry header of its own, because it needs a JSON library
// SPDX-License-Identifier: Apache-2.0
//
//     safetensors or GGUF files ── checkpoint ──► weights by name, in float or double, whatever they are stored as
//     tensors ── checkpoint_writer ──► such a folder            routes ── routing_record ──► a file ──► batch.replay
//
// Link moe::io beside moe::moe. moe's own files (io/save.hpp) need no library.
#pragma once

#include "moe/core/float_codes.hpp"
#include "moe/io/checkpoint.hpp"
#include "moe/io/checkpoint_writer.hpp"
#include "moe/io/gguf.hpp"
#include "moe/io/json.hpp"
#include "moe/io/routing_record.hpp"
#include "moe/io/safetensors.hpp"
#include "moe/io/safetensors_writer.hpp"
#include "moe/io/save.hpp"
