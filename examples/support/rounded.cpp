// SPDX-License-Identifier: Apache-2.0
#include "rounded.hpp"

#include <utility>

#include "command_line.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/route/renormalize.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/top_k.hpp"

namespace example {

namespace {

// What mixture.cpp composes for router_kind::topk.
using topk_router = moe::router<moe::linear_gate<float>, moe::softmax, moe::top_k, moe::renormalize>;
using topk_layer = decltype(moe::layer{std::declval<topk_router>(), std::declval<moe::swiglu_bank<float>>()});

template <class W>
void copy_weights(const moe::panels<float>& from, W& to) {
    moe::matrix<float> one(from.outputs(), from.inputs());
    for (moe::index_t e = 0; e < from.groups(); ++e) {
        from.read(e, one.view());
        to.assign(e, moe::matrix_view<const float>(one.view()));
    }
}

template <class Storage>
ffn_layer rounded_to(const topk_layer& trained) {
    const moe::swiglu_bank<float>& from = trained.experts();
    moe::swiglu_bank<float, Storage> to{{.features = from.features(),
                                         .hidden = from.hidden(),
                                         .experts = from.experts(),
                                         .seed = moe::no_draw}};
    copy_weights(from.gate, to.gate);
    copy_weights(from.up, to.up);
    copy_weights(from.down, to.down);
    return moe::layer{topk_router(trained.router()), std::move(to)};
}

}  // namespace

void require_rounds(weight_format format, ffn_layer& layer) {
    if (format != weight_format::f32 && layer.target<topk_layer>() == nullptr) {
        throw usage_error("--weights: only experts behind the router topk, none of them shared, are rounded");
    }
}

ffn_layer rounded(weight_format format, ffn_layer& trained) {
    require_rounds(format, trained);
    const topk_layer* const plain = trained.target<topk_layer>();
    switch (format) {
        case weight_format::f32:
            break;
        case weight_format::bf16:
            return rounded_to<moe::bf16_weights>(*plain);
        case weight_format::f16:
            return rounded_to<moe::f16_weights>(*plain);
        case weight_format::int8:
            return rounded_to<moe::int8_weights<32>>(*plain);
        case weight_format::int8_rows:
            return rounded_to<moe::int8_weights<moe::whole_rows>>(*plain);
        case weight_format::int4:
            return rounded_to<moe::int4_weights<32>>(*plain);
        case weight_format::int4_zero:
            return rounded_to<moe::int4_zero_weights<32>>(*plain);
    }
    return trained;
}

}  // namespace example
