// Experts in every layout, what is refused, and what refusals say.
#include "moe/io/bind_weights.hpp"

#include <map>

#include "io/files.hpp"
#include "moe/load/load_layer.hpp"
#include "support/catch.hpp"

namespace {

namespace io = moe::io;

struct tensor {
    std::vector<std::size_t> shape;
    std::vector<float> values;
};
using tensors = std::map<std::string, tensor>;

std::string file_of(const tensors& all) {
    std::string header = "{", data;
    for (const auto& [name, t] : all) {
        std::string shape;
        for (const std::size_t d : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(d);
        const std::size_t begin = data.size();
        data.append(reinterpret_cast<const char*>(t.values.data()), t.values.size() * sizeof(float));
        header += (header.size() > 1 ? "," : "") + ("\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[") + shape +
                  "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
    }
    return safetensors_bytes(header + "}", data);
}

// Weights of a model with E experts of width H on D features, and the tensors in which files hold them.
struct model {
    std::size_t features = 3, hidden = 4, experts = 2;
    std::vector<std::vector<float>> gate = draw(1), up = draw(2), down = draw(3);  // [E] of [H D], [H D], [D H]

    model() = default;
    model(std::size_t d, std::size_t h) : features(d), hidden(h), gate(draw(1)), up(draw(2)), down(draw(3)) {}

    std::vector<std::vector<float>> draw(unsigned seed) const {
        std::vector<std::vector<float>> all(experts);
        for (std::size_t e = 0; e < experts; ++e) {
            for (std::size_t i = 0; i < hidden * features; ++i) all[e].push_back(float(100 * seed + 10 * e) + float(i));
        }
        return all;
    }
    tensors router() const {
        return {{"model.layers.0.block_sparse_moe.gate.weight",
                 {{experts, features}, std::vector<float>(experts * features, 0.5f)}}};
    }
    tensors per_expert() const {
        tensors all = router();
        for (std::size_t e = 0; e < experts; ++e) {
            const std::string at = "model.layers.0.block_sparse_moe.experts." + std::to_string(e);
            all[at + ".w1.weight"] = {{hidden, features}, gate[e]};
            all[at + ".w3.weight"] = {{hidden, features}, up[e]};
            all[at + ".w2.weight"] = {{features, hidden}, down[e]};
        }
        return all;
    }
    tensors stacked(bool transposed) const {
        tensors all = router();
        tensor gate_up{{experts, 2 * hidden, features}, {}}, out{{experts, features, hidden}, {}};
        for (std::size_t e = 0; e < experts; ++e) {
            std::vector<float> both = gate[e];
            both.insert(both.end(), up[e].begin(), up[e].end());
            append(gate_up.values, both, 2 * hidden, transposed);
            append(out.values, down[e], features, transposed);
        }
        if (transposed) {
            std::swap(gate_up.shape[1], gate_up.shape[2]);
            std::swap(out.shape[1], out.shape[2]);
        }
        all["model.layers.0.block_sparse_moe.experts.gate_up_proj"] = gate_up;
        all["model.layers.0.block_sparse_moe.experts.down_proj"] = out;
        return all;
    }
    tensors separate() const {
        tensors all = router();
        const std::string at = "model.layers.0.block_sparse_moe.experts.";
        const auto join = [&](const std::vector<std::vector<float>>& w) {
            std::vector<float> values;
            for (const auto& one : w) values.insert(values.end(), one.begin(), one.end());
            return values;
        };
        all[at + "gate_proj"] = {{experts, hidden, features}, join(gate)};
        all[at + "up_proj"] = {{experts, hidden, features}, join(up)};
        all[at + "down_proj"] = {{experts, features, hidden}, join(down)};
        return all;
    }

private:
    static void append(std::vector<float>& to, const std::vector<float>& matrix, std::size_t rows, bool transposed) {
        const std::size_t cols = matrix.size() / rows;
        for (std::size_t i = 0; i < (transposed ? cols : rows); ++i) {
            for (std::size_t j = 0; j < (transposed ? rows : cols); ++j) {
                to.push_back(transposed ? matrix[j * cols + i] : matrix[i * cols + j]);
            }
        }
    }
};

// A folder with this model.
struct folder : scratch_folder {
    folder(const model& m, const tensors& weights) {
        write("config.json", "{\"model_type\":\"mixtral\",\"hidden_act\":\"silu\",\"hidden_size\":" + std::to_string(m.features) +
                                 ",\"intermediate_size\":" + std::to_string(m.hidden) + ",\"num_local_experts\":" +
                                 std::to_string(m.experts) + ",\"num_experts_per_tok\":1}");
        write("model.safetensors", file_of(weights));
    }
};

std::vector<float> loaded(const model& m, const tensors& weights, const io::load_options& o = {}) {
    const folder at(m, weights);
    auto layer = io::load<moe::presets::mixtral<float>>(at.path(), 0, o);
    std::vector<float> all;
    const auto keep = [&](const moe::parameter_name&, auto& p) {
        const auto values = moe::flat(p);
        all.insert(all.end(), values.begin(), values.end());
    };
    moe::visit_parameters(keep, layer);
    return all;
}

std::string refusal(const model& m, const tensors& weights, const io::load_options& o = {}) {
    return io_error_of([&] { (void)loaded(m, weights, o); });
}

}  // namespace

TEST_CASE("experts are the same weights whether they are stored one by one, stacked, transposed or separate") {
    const model m;
    const auto want = loaded(m, m.per_expert());
    CHECK(want.size() > 0);
    CHECK(loaded(m, m.stacked(false)) == want);
    CHECK(loaded(m, m.stacked(true)) == want);
    CHECK(loaded(m, m.separate()) == want);
    CHECK(loaded(m, m.stacked(true), {.layout = io::expert_layout::stacked_transposed}) == want);
}

TEST_CASE("each weight arrives in its place") {
    const model m;
    const folder at(m, m.per_expert());
    const auto layer = io::load<moe::presets::mixtral<float>>(at.path(), 0);
    for (moe::index_t e = 0; e < 2; ++e) {
        for (moe::index_t h = 0; h < 4; ++h) {
            for (moe::index_t d = 0; d < 3; ++d) {
                CHECK(layer.experts().gate(e, h, d) == m.gate[std::size_t(e)][std::size_t(3 * h + d)]);
                CHECK(layer.experts().up(e, h, d) == m.up[std::size_t(e)][std::size_t(3 * h + d)]);
                CHECK(layer.experts().down(e, d, h) == m.down[std::size_t(e)][std::size_t(4 * d + h)]);
            }
        }
    }
}

TEST_CASE("tensors that are missing, left over or of another shape are listed, all at once") {
    const model m;
    tensors weights = m.per_expert();
    const std::string at = "model.layers.0.block_sparse_moe.experts.";
    weights.erase(at + "1.w3.weight");
    weights[at + "2.w1.weight"] = weights[at + "0.w1.weight"];
    weights[at + "0.w2.weight"].shape = {4, 3};
    const std::string text = refusal(m, weights);
    CHECK_THAT(text, Catch::Contains("missing (1):\n    " + at + "1.w3.weight"));
    CHECK_THAT(text, Catch::Contains("extra (1):\n    " + at + "2.w1.weight"));
    CHECK_THAT(text, Catch::Contains("misshaped (1):\n    " + at + "0.w2.weight (wanted [3, 4], got [4, 3])"));
    CHECK_THAT(text, Catch::Contains("layer 0 (mixtral): experts as per_expert do not fit"));
}

TEST_CASE("an unknown tensor among those of the layer is refused, one of another layer is not looked at") {
    const model m;
    tensors weights = m.per_expert();
    weights["model.layers.1.block_sparse_moe.gate.weight"] = weights["model.layers.0.block_sparse_moe.gate.weight"];
    CHECK(refusal(m, weights) == "no exception");
    weights["model.layers.0.block_sparse_moe.gate.bias"] = {{2}, {0, 0}};
    CHECK_THAT(refusal(m, weights), Catch::Contains("extra (1):\n    model.layers.0.block_sparse_moe.gate.bias"));
}

TEST_CASE("a shape that fits two layouts is refused until the layout is named") {
    const model square(4, 4);
    const auto want = loaded(square, square.per_expert());
    CHECK_THAT(refusal(square, square.stacked(false)), Catch::Contains("a named layout, because its shape fits stacked and stacked_transposed"));
    CHECK_THAT(refusal(square, square.stacked(true)), Catch::Contains("a named layout"));
    CHECK(loaded(square, square.stacked(false), {.layout = io::expert_layout::stacked}) == want);
    CHECK(loaded(square, square.stacked(true), {.layout = io::expert_layout::stacked_transposed}) == want);
}

TEST_CASE("gate and up as wide together as the features is no less ambiguous") {
    const model m(8, 4);
    CHECK_THAT(refusal(m, m.stacked(false)), Catch::Contains("a named layout"));
    CHECK(loaded(m, m.stacked(false), {.layout = io::expert_layout::stacked}) == loaded(m, m.per_expert()));
}

TEST_CASE("a layout that the architecture does not come in is refused, and so is one that the file does not have") {
    const model m;
    CHECK_THROWS_WITH(loaded(m, m.per_expert(), {.layout = io::expert_layout::flattened}),
                      Catch::Contains("wanted per_expert, stacked, stacked_transposed, stacked_separate, got flattened"));
    CHECK_THAT(refusal(m, m.per_expert(), {.layout = io::expert_layout::stacked}),
               Catch::Contains("experts as stacked do not fit the layer"));
}

TEST_CASE("a config.json that lacks a number, or has another activation, is refused by key") {
    const model m;
    const folder at(m, m.per_expert());
    at.write("config.json", R"({"model_type":"mixtral","hidden_size":3})");
    CHECK_THAT(io_error_of([&] { (void)io::load<moe::presets::mixtral<float>>(at.path(), 0); }),
               Catch::Contains("intermediate_size: wanted an integer of at least 0, got no such key"));
    at.write("config.json", R"({"model_type":"mixtral","hidden_act":"gelu"})");
    CHECK_THAT(io_error_of([&] { (void)io::load<moe::presets::mixtral<float>>(at.path(), 0); }),
               Catch::Contains("hidden_act: wanted 'silu', got 'gelu'"));
    at.write("config.json", R"({"model_type":"mixtral","hidden_size":-3})");
    CHECK_THAT(io_error_of([&] { (void)io::load<moe::presets::mixtral<float>>(at.path(), 0); }),
               Catch::Contains("hidden_size: wanted an integer of at least 0, got -3"));
}
