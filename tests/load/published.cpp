// tests/load: models that transformers saved compute, when they are loaded, what its classes compute
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <set>

#include "moe/load.hpp"
#include "moe/moe.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

namespace io = moe::io;
namespace fs = std::filesystem;

const fs::path data = MOE_TEST_SOURCE_DIR "/tests/load/data";

// What the class was given and gave.
struct expected_result {
    moe::index_t layer = 0;
    moe::matrix<float> x;
    moe::matrix<double> y;
    std::vector<moe::index_t> token_id, label;

    explicit expected_result(const fs::path& folder) {
        const std::string path = (folder / "expected.safetensors").string();
        const moe::safetensors_file file(path);
        layer = std::stoi(file.metadata().at("layer"));
        const moe::checkpoint tensors(path);
        const auto size = [&](const char* name) {
            return std::pair{moe::index_t(tensors.at(name).rows()), moe::index_t(tensors.at(name).cols())};
        };
        x = moe::matrix<float>(size("x").first, size("x").second);
        y = moe::matrix<double>(size("y").first, size("y").second);
        tensors.read("x", x.view());
        tensors.read("y", y.view());
        token_id.resize(std::size_t(x.rows()));
        label.resize(token_id.size());
        tensors.read("token_id", std::span<moe::index_t>(token_id));
        tensors.read("label", std::span<moe::index_t>(label));
    }
    moe::batch<float> batch() const {
        moe::batch<float> in;
        in.x = x;
        in.token_id = token_id;
        in.label = label;
        return in;
    }
};

std::vector<float> values(const moe::matrix<float>& m) { return {m.span().begin(), m.span().end()}; }

template <class Layer>
std::vector<float> outputs(const Layer& layer, const moe::batch<float>& in) {
    moe::cpu cpu;
    moe::matrix<float> y(in.tokens(), layer.outputs());
    layer.forward(cpu, in, y.view());
    return values(y);
}

// The same from the exact type of layer, for every preset that the model may be; the number of these.
int exact_types_agree(const io::checkpoint_model& model, const expected_result& want, const std::vector<float>& y) {
    return io::detail::all_presets<float>::apply([&]<auto... Presets>() {
        int agreeing = 0;
        const auto attempt = [&]<auto Preset>(std::integral_constant<decltype(Preset), Preset>) {
            using options = typename io::detail::preset_traits<decltype(Preset)>::options;
            if (!io::detail::find_architecture<options>(model, want.layer)) return;
            agreeing += outputs(io::load<Preset>(model, want.layer), want.batch()) == y ? 1 : 0;
        };
        (attempt(std::integral_constant<decltype(Presets), Presets>{}), ...);
        return agreeing;
    });
}

}  // namespace

TEST_CASE("models that transformers saved compute what its classes compute, by architecture or by exact type", "[load]") {
    std::set<std::string> presets;
    std::set<io::expert_layout> layouts;
    int models = 0;
    for (const auto& entry : fs::directory_iterator(data)) {
        INFO(entry.path().filename().string());
        const expected_result want(entry.path());
        const io::checkpoint_model model(entry.path().string());
        io::loaded_layer about;
        const moe::any_layer<float> layer = io::load_layer(model, want.layer, {}, &about);
        const std::vector<float> y = outputs(layer, want.batch());
        CHECK(relative_error(moe::matrix_view<const float>(y.data(), want.y.rows(), want.y.cols()),
                             moe::matrix_view<const double>(want.y.view())) <= tolerance<float>::value);
        CHECK(exact_types_agree(model, want, y) == 1);
        presets.insert(about.preset);
        layouts.insert(about.weights.layout);
        ++models;
    }
    CHECK(models >= 40);
    CHECK(presets.size() >= 32);
    CHECK(layouts.size() >= 6);
}

TEST_CASE("a model is refused by a preset of another architecture, with the names of those that fit", "[load]") {
    CHECK_THROWS_WITH(io::load<moe::presets::mixtral<float>>((data / "qwen3_moe").string(), 0),
                      Catch::Contains("wanted a layer of the architectures mixtral, minimax, got model_type 'qwen3_moe'"));
}

TEST_CASE("a layer without experts is refused, and those with experts are named", "[load]") {
    CHECK_THROWS_WITH(io::load_layer((data / "deepseek_v3").string(), 0), Catch::Contains("those with: 1"));
}
