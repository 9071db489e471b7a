// load/gguf_config: metadata of a GGUF file -> the numbers that config.json of the same model has
// SPDX-License-Identifier: Apache-2.0
//
//     general.architecture                       model_type, below; deepseek2 is deepseek_v3 where it gates by sigmoid
//     ARCH.embedding_length                      hidden_size, d_model
//     ARCH.expert_feed_forward_length            moe_intermediate_size and intermediate_size; without it
//                                                ARCH.feed_forward_length is
//     ARCH.expert_count, expert_used_count       num_experts, num_experts_per_tok and their other names
//     ARCH.expert_shared_count                   n_shared_experts and its other names
//     ARCH.expert_shared_feed_forward_length     shared_expert_intermediate_size, shared_intermediate_size
//     ARCH.expert_group_count, _used_count       n_group, topk_group
//     ARCH.expert_weights_scale, _norm           routed_scaling_factor and route_scale, norm_topk_prob
//     ARCH.expert_gating_func                    scoring_func: 1 softmax, 2 sigmoid
//
// What llama.cpp has in its code and not in the file stands in the table: whether weights are normalised.
//
// errors        io_error naming the file: no architecture, or one that is not in the table, with those that are
// source        github.com/ggml-org/llama.cpp, convert_hf_to_gguf.py and src/llama-model.cpp; gguf/constants.py 0.19
#pragma once

#include <optional>

#include "moe/io/gguf.hpp"

MOE_BEGIN

namespace io::detail {

struct gguf_architecture {
    std::string_view name;
    const char* model_type;
    std::optional<bool> normalize = std::nullopt;  // where the file does not say; else as the preset does
};

inline constexpr gguf_architecture gguf_architectures[] = {
    {"llama", "mixtral"},           {"qwen2moe", "qwen2_moe", false},  {"qwen3moe", "qwen3_moe", true},
    {"qwen3vlmoe", "qwen3_moe", true}, {"qwen3next", "qwen3_next", true}, {"qwen35moe", "qwen3_5_moe"},
    {"olmoe", "olmoe", false},      {"phimoe", "phimoe"},              {"dbrx", "dbrx"},
    {"jamba", "jamba"},             {"deepseek2", "deepseek_v2"},      {"glm4moe", "glm4_moe"},
    {"dots1", "dots1"},             {"exaone-moe", "exaone_moe"},      {"granitemoe", "granitemoe"},
    {"granitehybrid", "granitemoe"}, {"ernie4_5-moe", "ernie4_5_moe"}, {"hunyuan-moe", "hunyuan_v1_moe"},
    {"minimax-m2", "minimax_m2"},   {"gpt-oss", "gpt_oss"},            {"lfm2moe", "lfm2_moe"},
    {"afmoe", "afmoe"},             {"llama4", "llama4"}};

class gguf_config {
public:
    explicit gguf_config(const gguf_file& file) : file_(file), architecture_(find(file)) {
        set({"model_type"}, architecture_.model_type);
        copy("embedding_length", {"hidden_size", "d_model"});
        copy("feed_forward_length", {"intermediate_size", "moe_intermediate_size"});
        copy("expert_feed_forward_length", {"intermediate_size", "moe_intermediate_size"});
        copy("expert_count", {"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"});
        copy("expert_used_count", {"num_experts_per_tok", "moe_k", "moe_topk"});
        copy("expert_shared_count", {"n_shared_experts", "num_shared_experts", "moe_num_shared_experts"});
        copy("expert_shared_feed_forward_length", {"shared_expert_intermediate_size", "shared_intermediate_size"});
        copy("expert_group_count", {"n_group"});
        copy("expert_group_used_count", {"topk_group"});
        copy("expert_weights_scale", {"routed_scaling_factor", "route_scale"});
        if (architecture_.normalize) set({"norm_topk_prob"}, *architecture_.normalize);
        copy("expert_weights_norm", {"norm_topk_prob"});
        choose_variant();
    }

    const json_value& json() const { return json_; }

private:
    static const gguf_architecture& find(const gguf_file& file) {
        const gguf_value* name = file.value("general.architecture");
        std::string known;
        for (const gguf_architecture& a : gguf_architectures) {
            if (name != nullptr && name->is_text() && name->text() == a.name) return a;
            known += (known.empty() ? "" : ", ") + std::string(a.name);
        }
        const bool text = name != nullptr && name->is_text();
        throw io_error(moe::detail::wanted_got(file.path() + ": general.architecture", "one of " + known,
                                               text ? moe::detail::excerpt(name->text()) : std::string("no text")));
    }

    json_value value(const std::string& key) const {
        const gguf_value* v = file_.value(std::string(architecture_.name) + "." + key);
        return v == nullptr ? json_value() : v->json();
    }
    void set(std::initializer_list<const char*> keys, const json_value& v) {
        for (const char* key : keys) json_[key] = v;
    }
    void copy(const std::string& from, std::initializer_list<const char*> keys) {
        const json_value v = value(from);
        if (!v.is_null()) set(keys, v);
    }

    // Architectures that are several here, or keep their numbers elsewhere.
    void choose_variant() {
        const json_value gating = value("expert_gating_func");
        const bool sigmoid = gating == 2;
        if (gating == 1 || sigmoid) set({"scoring_func"}, sigmoid ? "sigmoid" : "softmax");
        if (architecture_.name == "deepseek2") {
            if (sigmoid) set({"model_type"}, "deepseek_v3");
            if (json_.value("n_group", json_value()) != json_value()) set({"topk_method"}, "group_limited_greedy");
        }
        const bool granite = architecture_.name.starts_with("granite");
        if (granite && json_.contains("shared_intermediate_size")) set({"model_type"}, "granitemoeshared");
        if (architecture_.name == "dbrx") {
            const json_value ffn = {{"ffn_hidden_size", json_["intermediate_size"]},
                                    {"moe_num_experts", json_["num_experts"]},
                                    {"moe_top_k", json_["num_experts_per_tok"]},
                                    {"moe_normalize_expert_weights", 1.0}};
            set({"ffn_config"}, ffn);
        }
    }

    const gguf_file& file_;
    const gguf_architecture& architecture_;
    json_value json_ = json_value::object();
};

}  // namespace io::detail

MOE_END
