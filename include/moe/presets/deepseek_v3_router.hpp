// presets/deepseek_v3_router: the router that DeepSeek-V3 and its kin share
// SPDX-License-Identifier: Apache-2.0
//
//     sigmoid | selection_bias | group_limit by the best 2 | top_k | [renormalize] | scale
//
// o has the members of deepseek_v3_options that it reads.
#pragma once

#include "moe/gate/linear.hpp"
#include "moe/key/group_limit.hpp"
#include "moe/key/selection_bias.hpp"
#include "moe/layer/router.hpp"
#include "moe/route/only_if.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/route/scale.hpp"
#include "moe/score/sigmoid.hpp"
#include "moe/select/top_k.hpp"

MOE_BEGIN

namespace presets {

template <class T, class Options>
auto deepseek_v3_router(const Options& o) {
    return router{linear_gate<T>{{.features = o.features, .experts = o.experts, .seed = o.seed}},
                  sigmoid{},
                  selection_bias{o.experts},
                  group_limit{.groups = o.groups, .keep = o.groups_kept, .best = 2},
                  top_k{.k = o.per_token},
                  only_if{o.normalize, renormalize{.epsilon = 1e-20}},
                  moe::scale{.factor = o.scale}};
}

}  // namespace presets

MOE_END
