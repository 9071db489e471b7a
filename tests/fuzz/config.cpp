// fuzz: text that claims to be config.json becomes the options of a preset, or is refused with one of moe's exceptions
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <random>

#include "moe/io/safetensors_writer.hpp"
#include "moe/load/biased_softmax_architectures.hpp"
#include "moe/load/encoder_decoder_architectures.hpp"
#include "moe/load/granite_architectures.hpp"
#include "moe/load/logit_architectures.hpp"
#include "moe/load/nemotron_architectures.hpp"
#include "moe/load/sigmoid_architectures.hpp"
#include "moe/load/softmax_architectures.hpp"

namespace {

namespace io = moe::io;

// Every architecture of these options, whatever the text says it is: so that all keys are read in all ways.
template <class Options>
void read_options(const io::layer_config& config, const io::layer_source& source, bool named) {
    for (const auto& a : io::architectures(std::type_identity<Options>{})) {
        bool fits = !named;
        for (const char* type : a.model_types) fits = fits || (named && config.model_type() == type);
        if (!fits) continue;
        try {
            if (a.applies != nullptr) (void)a.applies(config);
            const Options o = a.options(config, source);
            if (o.features < 0 || o.experts < 0) std::abort();
            (void)a.bindings(o);
        } catch (const moe::io_error&) {
        }
    }
}

// Named here, because a list of the presets would compile the layers of all of them under the sanitizers.
template <class... Options>
struct options_list {
    static void read(const io::layer_config& config, const io::layer_source& source, bool named) {
        (read_options<Options>(config, source, named), ...);
    }
};
namespace presets = moe::presets;
using every_options = options_list<
    presets::afmoe_options, presets::aria_options, presets::cohere2_moe_options, presets::cohere2_moe_sum_options,
    presets::dbrx_options, presets::deepseek_v2_options, presets::deepseek_v3_options,
    presets::deepseek_v4_hash_options, presets::deepseek_v4_options, presets::doge_options,
    presets::ernie4_5_moe_options, presets::ernie4_5_vl_moe_options, presets::gemma4_options,
    presets::gpt_oss_options, presets::granitemoe_options, presets::granitemoeshared_options,
    presets::hunyuan_v1_moe_options, presets::jamba_options, presets::jetmoe_options, presets::lfm2_moe_options,
    presets::llama4_options, presets::longcat_flash_options, presets::minimax_m2_options, presets::mixtral_options,
    presets::nemotron_h_latent_options, presets::nemotron_h_options, presets::nllb_moe_options,
    presets::phimoe_options, presets::qwen2_moe_options, presets::qwen3_5_moe_options, presets::qwen3_moe_options,
    presets::qwen3_next_options, presets::switch_transformers_options>;

// A file without tensors: nothing of config.json depends on weights but a table of token ids.
struct empty_file {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("moe_fuzz_config_" + std::to_string(std::random_device{}()) + ".safetensors")).string();

    empty_file() { moe::safetensors_writer(path, {}).finish(); }
    ~empty_file() {
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
    }
};

}  // namespace

// The last byte chooses the layer and whether model_type counts.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data), size - 1);
    const std::uint8_t choice = data[size - 1];
    static const empty_file file;
    static const moe::checkpoint no_weights(file.path);
    try {
        const io::layer_config config(moe::parse_json(text, "config.json"), "config.json", choice / 2);
        every_options::read(config, {no_weights, ""}, choice % 2 == 0);
    } catch (const moe::io_error&) {
    }
    return 0;
}
