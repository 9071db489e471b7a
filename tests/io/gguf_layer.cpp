// A layer of a GGUF file: which tensors become what, and what is refused.
#include "io/files.hpp"
#include "io/gguf_bytes.hpp"
#include "moe/io/save.hpp"
#include "moe/load/load_layer.hpp"
#include "support/catch.hpp"

namespace {

namespace io = moe::io;
namespace presets = moe::presets;

constexpr std::uint64_t features = 3, hidden = 4, experts = 2;

std::vector<float> counted(std::size_t n, float first) {
    std::vector<float> v(n);
    for (std::size_t i = 0; i < n; ++i) v[i] = first + float(i);
    return v;
}

gguf_bytes metadata(const std::string& architecture) {
    gguf_bytes b;
    b.string("general.architecture", architecture);
    const auto number = [&](const char* key, std::uint64_t n) {
        b.u32(architecture + "." + key, static_cast<std::uint32_t>(n));
    };
    number("embedding_length", features);
    number("feed_forward_length", hidden);
    number("expert_count", experts);
    number("expert_used_count", 1);
    return b;
}

gguf_bytes with_router(const std::string& architecture = "llama") {
    gguf_bytes b = metadata(architecture);
    b.floats("blk.0.ffn_norm.weight", {features}, {1, 1, 1});
    b.floats("blk.0.ffn_gate_inp.weight", {features, experts}, counted(features * experts, 1));
    return b;
}
gguf_bytes& add_down(gguf_bytes& b) {
    return b.floats("blk.0.ffn_down_exps.weight", {hidden, features, experts},
                    counted(hidden * features * experts, 300));
}
gguf_bytes separate() {
    gguf_bytes b = with_router();
    b.floats("blk.0.ffn_gate_exps.weight", {features, hidden, experts}, counted(features * hidden * experts, 100));
    b.floats("blk.0.ffn_up_exps.weight", {features, hidden, experts}, counted(features * hidden * experts, 200));
    return add_down(b);
}

template <auto Preset = presets::mixtral<float>>
auto loaded(const gguf_bytes& b) {
    const scratch_folder at;
    return io::load<Preset>(at.write("m.gguf", b.bytes()), 0);
}
std::string refusal(const gguf_bytes& b) {
    return io_error_of([&] { (void)loaded(b); });
}

}  // namespace

TEST_CASE("weights of a GGUF file arrive in their places") {
    const auto layer = loaded(separate());
    for (moe::index_t e = 0; e < 2; ++e) {
        for (moe::index_t h = 0; h < 4; ++h) {
            for (moe::index_t d = 0; d < 3; ++d) {
                CHECK(layer.experts().gate(e, h, d) == float(100 + (e * 4 + h) * 3 + d));
                CHECK(layer.experts().up(e, h, d) == float(200 + (e * 4 + h) * 3 + d));
                CHECK(layer.experts().down(e, d, h) == float(300 + (e * 3 + d) * 4 + h));
            }
        }
    }
}

TEST_CASE("gate and up as halves of one GGUF tensor are the same, gate first") {
    gguf_bytes b = with_router();
    std::vector<float> both;
    for (int e = 0; e < 2; ++e) {
        for (const float first : {100.0f, 200.0f}) {
            const auto half = counted(features * hidden, first + float(12 * e));
            both.insert(both.end(), half.begin(), half.end());
        }
    }
    b.floats("blk.0.ffn_gate_up_exps.weight", {features, 2 * hidden, experts}, both);
    auto merged = loaded(add_down(b)), want = loaded(separate());
    CHECK(moe::to_bytes(merged) == moe::to_bytes(want));
}

TEST_CASE("quantised experts are the layer of their decoded values") {
    const auto experts_of = [](std::uint32_t type, const std::vector<std::string>& weights) {
        gguf_bytes b;
        b.string("general.architecture", "llama").u32("llama.embedding_length", 32);
        b.u32("llama.feed_forward_length", 32);
        b.u32("llama.expert_count", 1).u32("llama.expert_used_count", 1);
        b.floats("blk.0.ffn_gate_inp.weight", {32, 1}, counted(32, 1));
        for (const char* name : {"gate", "up", "down"}) {
            b.tensor(std::string("blk.0.ffn_") + name + "_exps.weight", {32, 32, 1}, type, b.data.size());
            for (const std::string& row : weights) b.data += row;
        }
        return b;
    };
    std::vector<std::string> blocks, floats;
    for (int row = 0; row < 32; ++row) {
        std::string block = gguf_bytes::number(moe::to_f16(0.25 * row)), decoded;
        for (int i = 0; i < 32; ++i) {
            block += static_cast<char>(i * row - 100);
            decoded += gguf_bytes::number(0.25f * float(row) * float(static_cast<std::int8_t>(i * row - 100)));
        }
        blocks.push_back(block);
        floats.push_back(decoded);
    }
    auto quantised = loaded(experts_of(8, blocks)), plain = loaded(experts_of(0, floats));
    CHECK(moe::to_bytes(quantised) == moe::to_bytes(plain));
}

TEST_CASE("tensors of a GGUF layer that are missing, left over or of another shape are listed, all at once") {
    gguf_bytes b = with_router();
    b.floats("blk.0.ffn_gate_exps.weight", {hidden, features, experts}, counted(features * hidden * experts, 0));
    add_down(b).floats("blk.0.exp_probs_b.bias", {experts}, {0, 0});
    const std::string text = refusal(b);
    CHECK_THAT(text, Catch::Contains("missing (1):\n    blk.0.ffn_up_exps.weight"));
    CHECK_THAT(text, Catch::Contains("extra (1):\n    blk.0.exp_probs_b.bias"));
    CHECK_THAT(text,
               Catch::Contains("misshaped (1):\n    blk.0.ffn_gate_exps.weight (wanted [2, 4, 3], got [2, 3, 4])"));
    CHECK_THAT(text, Catch::Contains("m.gguf: layer 0 (mixtral): experts as stacked_separate do not fit"));
}

TEST_CASE("a GGUF file without the layer, of another architecture or without its numbers is refused by name") {
    CHECK_THAT(refusal(metadata("llama")),
               Catch::Contains("whose tensors end in ffn_gate_inp.weight, got a model without"));
    CHECK_THAT(refusal(metadata("rwkv7")), Catch::Contains("general.architecture: wanted one of llama, qwen2moe"));
    CHECK_THAT(refusal(with_router("gpt-oss")), Catch::Contains("got model_type 'gpt_oss'"));
    gguf_bytes none;
    none.floats("blk.0.ffn_gate_inp.weight", {1}, {1});
    CHECK_THAT(refusal(none), Catch::Contains("general.architecture: wanted one of"));
    gguf_bytes wrong = separate();
    wrong.string("split.count", "two");
    CHECK_THAT(refusal(wrong), Catch::Contains("split.count: wanted a number from 0 to 99999"));
    gguf_bytes lacking;
    lacking.string("general.architecture", "llama").floats("blk.0.ffn_gate_inp.weight", {1}, {1});
    CHECK_THAT(refusal(lacking),
               Catch::Contains("m.gguf: metadata: hidden_size: wanted an integer of at least 0, got no such key"));
}

TEST_CASE("what gates and normalises comes from the metadata, or from what llama.cpp knows of the architecture") {
    const auto config = [](const gguf_bytes& b) {
        const scratch_folder at;
        return io::detail::gguf_config(moe::gguf_file(at.write("m.gguf", b.bytes()))).json();
    };
    CHECK(config(metadata("qwen3moe")).at("norm_topk_prob") == true);
    CHECK(config(metadata("olmoe")).at("norm_topk_prob") == false);
    CHECK_FALSE(config(metadata("llama")).contains("norm_topk_prob"));
    const std::string no(1, '\0');
    CHECK(config(metadata("qwen3moe").value("qwen3moe.expert_weights_norm", 7, no)).at("norm_topk_prob") == false);
    CHECK(config(metadata("deepseek2")).at("model_type") == "deepseek_v2");
    CHECK(config(metadata("deepseek2").u32("deepseek2.expert_gating_func", 2)).at("model_type") == "deepseek_v3");
    CHECK(config(metadata("granitemoe")).at("model_type") == "granitemoe");
    CHECK(config(metadata("granitemoe").u32("granitemoe.expert_shared_feed_forward_length", 5)).at("model_type") ==
          "granitemoeshared");
    CHECK(config(metadata("glm4moe").u32("glm4moe.expert_gating_func", 1)).at("scoring_func") == "softmax");
}
