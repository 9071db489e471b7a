#include "moe/io/packed.hpp"

#include <cstring>

#include "io/files.hpp"
#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"

namespace {

template <class Storage>
auto make_layer(std::uint64_t seed, moe::index_t hidden = 70) {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = 21, .experts = 4, .bias = true, .seed = seed}},
                                  moe::softmax{}, moe::selection_bias{4}, moe::top_k{.k = 2}},
                      moe::swiglu_bank<float, Storage>{
                          {.features = 21, .hidden = hidden, .experts = 4, .bias = true, .seed = seed}}};
}

auto infer(const auto& layer) {
    moe::cpu cpu;
    return layer(cpu, moe::testing::random_matrix<float>(6, 21, 3));
}

}  // namespace

TEMPLATE_TEST_CASE("a mapped layer computes what the saved one does, and outlives its file", "", moe::same_scalar,
                   moe::bf16_weights, moe::bf16_with_masters, moe::f16_weights) {
    const scratch_folder folder;
    auto saved = make_layer<TestType>(1);
    moe::get<moe::selection_bias>(saved).bias[2] = 0.25;
    const std::string path = folder / "layer.moe";
    moe::save_packed(path, saved);
    auto mapped = make_layer<TestType>(2);
    CHECK_FALSE(moe::testing::same_bits(infer(mapped), infer(saved)));
    moe::map_packed(path, mapped);
    std::filesystem::remove(path);
    CHECK(moe::testing::same_bits(infer(mapped), infer(saved)));
    CHECK(moe::to_bytes(mapped) == moe::to_bytes(saved));
    const auto copy = mapped;
    CHECK(moe::testing::same_bits(infer(copy), infer(saved)));
}

TEST_CASE("writing to mapped weights changes neither the file nor another mapping of it") {
    const scratch_folder folder;
    auto saved = make_layer<moe::bf16_weights>(1);
    const std::string path = folder / "layer.moe";
    moe::save_packed(path, saved);
    const std::string before = content_of(path);
    auto first = make_layer<moe::bf16_weights>(2), second = make_layer<moe::bf16_weights>(3);
    moe::map_packed(path, first);
    moe::map_packed(path, second);
    moe::matrix<float> w(70, 21);
    first.experts().up.assign(1, w.view());
    CHECK_FALSE(moe::testing::same_bits(infer(first), infer(saved)));
    CHECK(moe::testing::same_bits(infer(second), infer(saved)));
    CHECK(content_of(path) == before);
    const auto moved = moe::copy_to(moe::cpu{}, second);
    CHECK(moe::testing::same_bits(infer(moved), infer(saved)));
    CHECK(&moved.experts().up.space() == &moe::host_space);
}

TEST_CASE("a packed file that does not fit is refused and leaves the layer as it was") {
    const scratch_folder folder;
    auto saved = make_layer<moe::bf16_weights>(1);
    const std::string path = folder / "layer.moe";
    moe::save_packed(path, saved);
    const std::string content = content_of(path);
    auto layer = make_layer<moe::bf16_weights>(2);
    const auto before = moe::to_bytes(layer);
    const auto message = [&](const std::string& text, auto& model) -> std::string {
        try {
            moe::map_packed(folder.write("other.moe", text), model);
        } catch (const moe::io_error& e) {
            return e.what();
        }
        return "no exception";
    };
    using Catch::Contains;
    std::uint64_t header = 0;
    std::memcpy(&header, content.data() + 16, sizeof(header));
    for (std::size_t size = 0; size < header; size += 13) {
        INFO("size " << size);
        CHECK_THAT(message(content.substr(0, size), layer), Contains("other.moe"));
    }
    CHECK_THAT(message(content.substr(0, content.size() - 1), layer), Contains("contents in the file"));
    for (std::size_t i = 0; i < header; i += 7) {
        std::string damaged = content;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
        INFO("byte " << i);
        CHECK_THAT(message(damaged, layer), Contains("other.moe"));
    }
    CHECK(moe::to_bytes(layer) == before);
    auto narrow = make_layer<moe::bf16_weights>(2, 69);
    CHECK_THAT(message(content, narrow), Contains("experts.gate") && Contains("[4, 69, 21]"));
    auto floats = make_layer<moe::same_scalar>(2);
    CHECK_THAT(message(content, floats), Contains("experts.gate"));
    CHECK_THROWS_AS(moe::map_packed(folder / "absent.moe", layer), moe::io_error);
}
