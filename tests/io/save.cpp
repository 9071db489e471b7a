#include "moe/io/save.hpp"

#include <filesystem>

#include "moe/layer/any_layer.hpp"
#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"

namespace {

template <class T>
auto make_layer(std::uint64_t seed, moe::index_t hidden = 7) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 4, .bias = true, .seed = seed}},
                                  moe::softmax{}, moe::top_k{.k = 2}},
                      moe::swiglu_bank<T>{{.features = 5, .hidden = hidden, .experts = 4, .bias = true, .seed = seed}}};
}

std::string message_of(const std::vector<unsigned char>& bytes, auto& model) {
    try {
        moe::from_bytes(bytes, model, "file");
    } catch (const moe::io_error& e) {
        return e.what();
    }
    return "no exception";
}

// With the checksum that belongs to the changed content.
std::vector<unsigned char> sealed(std::vector<unsigned char> bytes) {
    bytes.resize(bytes.size() - 8);
    moe::detail::append(bytes, moe::detail::fnv1a(bytes));
    return bytes;
}

}  // namespace

TEMPLATE_TEST_CASE("a saved layer loads bit for bit into another of the same shape", "", float, double) {
    auto first = make_layer<TestType>(1);
    auto second = make_layer<TestType>(2);
    const std::string path = (std::filesystem::temp_directory_path() / "moe_test_save.moe").string();
    moe::save(path, first);
    moe::load(path, second);
    std::filesystem::remove(path);
    moe::reference b;
    const auto x = moe::testing::random_matrix<TestType>(6, 5, 3);
    CHECK(moe::testing::same_bits(first(b, x), second(b, x)));
    CHECK(moe::to_bytes(first) == moe::to_bytes(second));
}

TEST_CASE("a layer saved behind any_layer is the file of the layer itself") {
    auto layer = make_layer<float>(1);
    moe::any_layer<float, moe::reference> any = layer;
    CHECK(moe::to_bytes(layer) == moe::to_bytes(any));
    moe::any_layer<float, moe::reference> other = make_layer<float>(9);
    moe::from_bytes(moe::to_bytes(layer), other);
    CHECK(moe::to_bytes(other) == moe::to_bytes(layer));
}

TEST_CASE("every truncation of a saved file is refused and leaves the layer as it was") {
    auto saved = make_layer<float>(1);
    auto target = make_layer<float>(2);
    const auto before = moe::to_bytes(target);
    const auto bytes = moe::to_bytes(saved);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const std::vector<unsigned char> cut(bytes.begin(), bytes.begin() + std::ptrdiff_t(size));
        CHECK_THROWS_AS(moe::from_bytes(cut, target), moe::io_error);
    }
    CHECK(moe::to_bytes(target) == before);
}

TEST_CASE("every flipped byte of a saved file is refused") {
    auto saved = make_layer<float>(1);
    auto target = make_layer<float>(2);
    const auto before = moe::to_bytes(target);
    auto bytes = moe::to_bytes(saved);
    for (auto& byte : bytes) {
        byte ^= 0x40;
        CHECK_THROWS_AS(moe::from_bytes(bytes, target), moe::io_error);
        byte ^= 0x40;
    }
    CHECK(moe::to_bytes(target) == before);
}

TEST_CASE("an error of load names the file, what was wanted and what was got") {
    auto layer = make_layer<float>(1);
    auto wider = make_layer<float>(1, 8);
    auto in_double = make_layer<double>(1);
    CHECK(message_of(moe::to_bytes(wider), layer) == "moe: file: experts.gate: wanted [4, 7, 5], got [4, 8, 5]");
    CHECK(message_of(moe::to_bytes(in_double), layer) == "moe: file: router.0.weight: wanted float32, got float64");
    auto version = moe::to_bytes(layer);
    version[8] = 2;
    CHECK(message_of(sealed(version), layer) == "moe: file: version: wanted 1, got 2");
    auto fewer = moe::to_bytes(layer);
    fewer[12] = 3;
    CHECK(message_of(sealed(fewer), layer) == "moe: file: number of tensors: wanted 8, got 3");
    auto renamed = moe::to_bytes(layer);
    renamed[20] = 'R';
    CHECK(message_of(sealed(renamed), layer) == "moe: file: next tensor: wanted router.0.weight, got Router.0.weight");
    CHECK_THROWS_WITH(moe::load("/no/such/file", layer),
                      "moe: /no/such/file: wanted a file that can be read, got none");
}
