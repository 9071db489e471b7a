// fuzz: text that claims to be config.json becomes the options of a preset, or is refused with one of moe's exceptions
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <random>

#include "moe/io/safetensors_writer.hpp"
#include "moe/load/presets_of.hpp"

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
        io::detail::all_presets<float>::apply([&]<auto... Presets>() {
            using io::detail::preset_traits;
            const io::layer_source source{no_weights, ""};
            (read_options<typename preset_traits<decltype(Presets)>::options>(config, source, choice % 2 == 0), ...);
        });
    } catch (const moe::io_error&) {
    }
    return 0;
}
