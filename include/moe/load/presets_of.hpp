// load/presets_of: which presets the loader knows
// SPDX-License-Identifier: Apache-2.0
//
// One preset for every composition: olmoe is loaded as qwen3_moe, kimi_k2 as deepseek_v3, which are the same layers.
#pragma once

#include "moe/load/biased_softmax_architectures.hpp"
#include "moe/load/checkpoint_model.hpp"
#include "moe/load/encoder_decoder_architectures.hpp"
#include "moe/load/granite_architectures.hpp"
#include "moe/load/logit_architectures.hpp"
#include "moe/load/nemotron_architectures.hpp"
#include "moe/load/sigmoid_architectures.hpp"
#include "moe/load/softmax_architectures.hpp"

MOE_BEGIN

namespace io::detail {

template <class Preset>
struct preset_traits;
template <class Layer, class Options>
struct preset_traits<Layer (*)(const Options&)> {
    using layer = Layer;
    using options = Options;
};

// What applies to this layer of the model.
template <class Options>
std::optional<architecture<Options>> find_architecture(const checkpoint_model& model, index_t layer) {
    for (architecture<Options>& a : architectures(std::type_identity<Options>{})) {
        const bool applies = a.applies == nullptr || a.applies(model.config(layer));
        for (const char* type : a.model_types) {
            if (applies && model.model_type() == type) return std::move(a);
        }
    }
    return std::nullopt;
}

template <class Options>
std::string model_types_of() {
    std::string text;
    for (const architecture<Options>& a : architectures(std::type_identity<Options>{})) {
        for (const char* type : a.model_types) text += (text.empty() ? "" : ", ") + std::string(type);
    }
    return text;
}

template <auto... Presets>
struct preset_list {
    template <class F>
    static decltype(auto) apply(const F& f) {
        return f.template operator()<Presets...>();
    }
};

template <class T>
using all_presets =
    preset_list<presets::mixtral<T>, presets::qwen2_moe<T>, presets::qwen3_next<T>, presets::qwen3_5_moe<T>,
                presets::qwen3_moe<T>, presets::jamba<T>, presets::afmoe<T>, presets::aria<T>, presets::deepseek_v2<T>,
                presets::deepseek_v3<T>, presets::deepseek_v4<T>, presets::deepseek_v4_hash<T>, presets::gpt_oss<T>,
                presets::llama4<T>, presets::granitemoe<T>, presets::granitemoeshared<T>, presets::phimoe<T>,
                presets::dbrx<T>, presets::jetmoe<T>, presets::ernie4_5_moe<T>, presets::ernie4_5_vl_moe<T>,
                presets::hunyuan_v1_moe<T>, presets::minimax_m2<T>, presets::longcat_flash<T>, presets::lfm2_moe<T>,
                presets::nemotron_h<T>, presets::nemotron_h_latent<T>, presets::gemma4<T>, presets::doge<T>,
                presets::cohere2_moe<T>, presets::cohere2_moe_sum<T>, presets::switch_transformers<T>,
                presets::nllb_moe<T>>;

}  // namespace io::detail

MOE_END
