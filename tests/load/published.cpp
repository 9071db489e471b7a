// tests/load: models that transformers saved compute, when they are loaded, what its classes compute
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "moe/io/save.hpp"
#include "moe/load.hpp"
#include "moe/moe.hpp"
#include "moe/presets/switch_transformers_pass.hpp"
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
    std::map<std::string, std::vector<float>> weights;  // of the class, in canonical layout

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
        for (const moe::stored_tensor& t : file.tensors()) {
            if (t.name == "x" || t.name == "y" || t.type != moe::stored_type::f32) continue;
            std::vector<float>& to = weights[t.name];
            to.resize(std::size_t(t.rows() * t.cols()));
            t.read(std::span(to));
        }
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

struct name_in_golden {
    const char* path;  // of a parameter, or its end behind a dot
    const char* tensor;
};

// The first that fits and that the model has.
constexpr name_in_golden names_in_goldens[] = {
    {"shared.experts.gate", "shared_w_gate"}, {"shared.experts.up", "shared_w_up"},
    {"shared.experts.down", "shared_w_down"}, {"shared.gate", "shared_gate"},
    {"shared.gate", "shared_w_gate"},         {"shared.up", "shared_w_up"},
    {"shared.down", "shared_w_down"},         {"experts.gate", "w_gate"},
    {"experts.up", "w_up"},                   {"experts.down", "w_down"},
    {"experts.gate_bias", "b_gate"},          {"experts.up_bias", "b_up"},
    {"experts.down_bias", "b_down"},          {"experts.0.gate", "w_gate"},
    {"experts.0.up", "w_up"},                 {"experts.0.down", "w_down"},
    {"experts.1.gate", "vision_w_gate"},      {"experts.1.up", "vision_w_up"},
    {"experts.1.down", "vision_w_down"},      {"experts.in", "w_up"},
    {"experts.out", "w_down"},                {"experts.bank.up", "w_up"},
    {"experts.bank.down", "w_down"},          {"experts.projection", "latent_in"},
    {"combine.projection", "latent_out"},     {"combine.bias", "output_bias"},
    {"step.gain", "router_scale"},            {"scale", "expert_scale"},
    {"router.0.weight", "gate"},              {"gate.weight", "gate"},
    {"router.0.bias", "gate_bias"},           {"gate.bias", "gate_bias"},
    {"router.2.bias", "selection_bias"},      {"router.3.bias", "selection_bias"}};

std::string name_of(const std::string& path, const expected_result& want) {
    for (const auto& [end, tensor] : names_in_goldens) {
        const std::string tail = std::string(".") + end;
        const bool fits = path == end || (path.size() > tail.size() &&
                                          path.compare(path.size() - tail.size(), tail.size(), tail) == 0);
        if (fits && want.weights.count(tensor) != 0) return tensor;
    }
    return {};
}

std::vector<float> row_major(const moe::panels<float>& from) {
    moe::matrix<float> one(from.outputs(), from.inputs());
    std::vector<float> all;
    for (moe::index_t e = 0; e < from.groups(); ++e) {
        from.read(e, one.view());
        all.insert(all.end(), one.span().begin(), one.span().end());
    }
    return all;
}
template <class Array>
std::vector<float> row_major(const Array& from) {
    const auto elements = moe::flat(from);
    return {elements.begin(), elements.end()};
}

// Parameters and saved state of a layer by the goldens' names.
struct collect {
    const expected_result& want;
    std::map<std::string, std::vector<float>>& found;
    std::vector<std::string>& unknown;

    template <class P>
    void operator()(const moe::parameter_name& name, P& parameter) const {
        if (moe::flat(parameter).empty()) return;
        const std::string tensor = name_of(name.text(), want);
        if (tensor.empty()) unknown.push_back(name.text());
        else found[tensor] = row_major(parameter);
    }
};

// A layer set by hand has in each parameter what the class has in the tensor of that name.
template <class Layer>
bool has_the_weights_of_the_class(const Layer& layer, const expected_result& want) {
    std::map<std::string, std::vector<float>> found;
    std::vector<std::string> unknown;
    const collect visitor{want, found, unknown};
    moe::visit_parameters(visitor, layer);
    moe::visit_state(visitor, layer);
    for (const std::string& path : unknown) UNSCOPED_INFO("no tensor for the parameter " << path);
    for (const auto& [name, values] : want.weights) {
        if (found[name] != values) UNSCOPED_INFO("other values in " << name);
    }
    return unknown.empty() && found == want.weights;
}

template <class Layer>
std::vector<float> outputs(const Layer& layer, const moe::batch<float>& in) {
    moe::cpu cpu;
    moe::matrix<float> y(in.tokens(), layer.outputs());
    layer.forward(cpu, in, y.view());
    return values(y);
}

// The same from the exact type of layer, with the weights bit for bit, for every preset that the model may be; the
// number of these.
int exact_types_agree(const io::checkpoint_model& model, const expected_result& want, const std::vector<float>& y) {
    return io::detail::all_presets<float>::apply([&]<auto... Presets>() {
        int agreeing = 0;
        const auto attempt = [&]<auto Preset>(std::integral_constant<decltype(Preset), Preset>) {
            using options = typename io::detail::preset_traits<decltype(Preset)>::options;
            if (!io::detail::find_architecture<options>(model, want.layer)) return;
            const auto layer = io::load<Preset>(model, want.layer);
            agreeing += outputs(layer, want.batch()) == y && has_the_weights_of_the_class(layer, want) ? 1 : 0;
        };
        (attempt(std::integral_constant<decltype(Presets), Presets>{}), ...);
        return agreeing;
    });
}

// By preset: the composition that docs/presets.md states, where it is the name of a preset that one's.
std::map<std::string, std::string> documented_compositions() {
    std::map<std::string, std::string> rows;
    std::ifstream page(MOE_TEST_SOURCE_DIR "/docs/presets.md");
    for (std::string line; std::getline(page, line);) {
        std::vector<std::string> cells;
        for (std::size_t at = 0, bar; (bar = line.find(" | ", at)) != std::string::npos; at = bar + 3) {
            cells.push_back(line.substr(at, bar - at));
        }
        if (cells.size() < 3 || !cells[1].starts_with("[`")) continue;
        rows[cells[1].substr(2, cells[1].find('`', 2) - 2)] = cells[2];
    }
    const auto written = rows;
    for (auto& [preset, text] : rows) {
        for (int i = 0; i < 4 && written.contains(text); ++i) text = written.at(text);
    }
    return rows;
}

}  // namespace

TEST_CASE("models that transformers saved have the weights of its classes, bit for bit, and compute what these do",
          "[load]") {
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

TEST_CASE("the same models as GGUF files are the same layers, bit for bit, by both ways to load", "[load]") {
    // The limit of gpt-oss and the tolerance of phimoe are constants of llama.cpp; these models have others.
    const std::set<std::string> with_other_constants = {"gpt_oss", "phimoe"};
    std::set<std::string> presets;
    int models = 0;
    for (const auto& entry : fs::directory_iterator(data.parent_path() / "gguf")) {
        const std::string name = entry.path().stem().string();
        INFO(name);
        const expected_result want(data / name);
        const io::checkpoint_model model(entry.path().string()), original((data / name).string());
        io::loaded_layer about, saved;
        moe::any_layer<float> layer = io::load_layer(model, want.layer, {}, &about);
        moe::any_layer<float> same = io::load_layer(original, want.layer, {}, &saved);
        CHECK(about.preset == std::string(saved.preset));
        CHECK(moe::to_bytes(layer) == moe::to_bytes(same));
        const std::vector<float> y = outputs(layer, want.batch());
        if (!with_other_constants.contains(name)) CHECK(y == outputs(same, want.batch()));
        CHECK(exact_types_agree(model, want, y) == 1);
        const auto listed = io::list_layers(model);
        CHECK(listed.size() == 1);
        CHECK(listed.at(0).layer == want.layer);
        presets.insert(about.preset);
        ++models;
    }
    CHECK(models >= 23);
    CHECK(presets.size() >= 19);
}

TEST_CASE("gpt-oss in MXFP4 is, bit for bit, the layer of the weights that transformers decodes", "[load]") {
    const fs::path folder = data.parent_path() / "mxfp4";
    io::loaded_layer packed, decoded;
    const io::checkpoint_model released((folder / "packed").string()), plain((folder / "decoded").string());
    auto a = io::load<moe::presets::gpt_oss<float>>(released, 0, {}, &packed);
    auto b = io::load<moe::presets::gpt_oss<float>>(plain, 0, {}, &decoded);
    CHECK(packed.weights.layout == io::expert_layout::interleaved_rows);
    CHECK(decoded.weights.layout == io::expert_layout::interleaved);
    CHECK(moe::to_bytes(a) == moe::to_bytes(b));

    moe::matrix<float> x(4, a.features());
    for (std::size_t i = 0; i < x.span().size(); ++i) x.span()[i] = float(i % 13) / 8.0f - 0.75f;
    moe::batch<float> in;
    in.x = x;
    const auto y = outputs(io::load_layer(released, 0), in);
    CHECK(y == outputs(b, in));
    CHECK(std::any_of(y.begin(), y.end(), [](float v) { return v != 0.0f; }));
}

TEST_CASE("a model is refused by a preset of another architecture, with the names of those that fit", "[load]") {
    CHECK_THROWS_WITH(io::load<moe::presets::mixtral<float>>((data / "qwen3_moe").string(), 0),
                      Catch::Contains("wanted a layer of the architectures mixtral, minimax, got model_type 'qwen3_moe'"));
}

TEST_CASE("a layer without experts is refused, and those with experts are named", "[load]") {
    CHECK_THROWS_WITH(io::load_layer((data / "deepseek_v3").string(), 0), Catch::Contains("those with: 1"));
}

TEST_CASE("a Switch is loaded with dropped tokens passed on where that preset is named", "[load]") {
    const fs::path folder = data / "switch_transformers";
    const expected_result want(folder);
    const io::checkpoint_model model(folder.string());
    const auto layer = io::load<moe::presets::switch_transformers_pass<float>>(model, want.layer);
    CHECK(has_the_weights_of_the_class(layer, want));
    CHECK(layer.router().experts() == 5);
    // Nothing is dropped here: both presets give the same.
    CHECK(outputs(layer, want.batch()) ==
          outputs(io::load<moe::presets::switch_transformers<float>>(model, want.layer), want.batch()));
}

TEST_CASE("what the loader says of a composition is what docs/presets.md says of the preset", "[load]") {
    const auto documented = documented_compositions();
    io::detail::all_presets<float>::apply([&]<auto... Presets>() {
        const auto compare = [&]<class Options>(std::type_identity<Options> which) {
            for (const auto& a : io::architectures(which)) {
                INFO(a.preset);
                REQUIRE(documented.contains(a.preset));
                CHECK(documented.at(a.preset) == a.composition);
            }
        };
        (compare(std::type_identity<typename io::detail::preset_traits<decltype(Presets)>::options>{}), ...);
    });
}
