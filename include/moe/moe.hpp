// moe: mixture-of-experts layers; this header is the tour, in data-flow order
// SPDX-License-Identifier: Apache-2.0
//
//  x [T,D] ──gate──► logits [T,E] ──score──► scores ──key──► keys ──selector──► choice ──route steps──► routes [R]
//                                                                                                         │
//  y [T,D] ◄──combine── rows [R,D] ◄──experts (grouped products, gather fused)── plan ◄───────────────────┘
//
// T tokens, D features, E experts, H hidden width of an expert, K routes per token, R live routes.
#pragma once

// The vocabulary: views, storage, what flows between the parts.
#include "moe/core/version.hpp"
#include "moe/core/view.hpp"
#include "moe/core/storage.hpp"
#include "moe/core/adapt.hpp"
#include "moe/core/batch.hpp"
#include "moe/core/routes.hpp"
#include "moe/core/plan.hpp"
#include "moe/core/tape.hpp"
#include "moe/core/roles.hpp"

// Who computes.
#include "moe/backend/reference.hpp"

// The router's five kinds of steps.
#include "moe/gate/linear.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"
#include "moe/route/renormalize.hpp"

// The experts and how their rows become outputs.
#include "moe/experts/ffn_bank.hpp"
#include "moe/combine/weighted_sum.hpp"

// The parts, put together.
#include "moe/layer/router.hpp"
#include "moe/layer/shared.hpp"
#include "moe/layer/layer.hpp"
