// The checkpoints of data/, which generate.py made with the format's own library: read, and written again.
#include <cmath>

#include "io/files.hpp"
#include "moe/core/storage.hpp"
#include "moe/io/checkpoint.hpp"
#include "moe/io/checkpoint_writer.hpp"
#include "support/catch.hpp"

namespace {

const std::string data = std::string(MOE_TEST_SOURCE_DIR) + "/tests/io/data/";

std::vector<moe::tensor_declaration> declarations_of(std::span<const moe::stored_tensor> tensors) {
    std::vector<moe::tensor_declaration> out;
    for (const moe::stored_tensor& t : tensors) out.push_back({t.name, t.type, t.shape});
    return out;
}

template <class T>
std::vector<T> values_of(const moe::stored_tensor& t) {
    std::vector<T> out(static_cast<std::size_t>(t.rows() * t.cols()));
    t.read(std::span(out));
    return out;
}

// Through the widest type that is converted, else byte for byte.
void write_again(moe::safetensors_writer& out, const moe::stored_tensor& t) {
    const auto type = t.type;
    const auto pass = [&]<class T>(T) {
        const auto values = values_of<T>(t);
        out.write(t.name, std::span(values));
    };
    using moe::stored_type;
    if (type == stored_type::u64) pass(std::uint64_t{});
    else if (moe::detail::with_integer(type, [](auto) {})) pass(std::int64_t{});
    else if (moe::detail::is_coded_byte(type)) pass(std::uint8_t{});
    else if (moe::detail::encoder_of<double>(type) != nullptr) pass(double{});
    else out.copy(t);
}

std::uint64_t hash_of(std::span<const float> values) {
    std::vector<unsigned char> bytes;
    for (const float v : values) moe::detail::append(bytes, v);
    return moe::detail::fnv1a(bytes);
}

}  // namespace

TEST_CASE("every floating-point type is read with the values that Python reads") {
    const moe::safetensors_file file(data + "types.safetensors");
    int types = 0;
    for (const moe::stored_tensor& t : file.tensors()) {
        const moe::stored_tensor* value = file.find(t.name + ".value");
        if (value == nullptr) continue;
        ++types;
        INFO(t.name);
        CHECK(t.name == moe::name_of(t.type));
        CHECK(values_of<double>(t) == values_of<double>(*value));
        CHECK(values_of<float>(t) == values_of<float>(*value));
    }
    CHECK(types == 7);
}

TEST_CASE("every integer type is read into integers that hold its values, and into no others") {
    const moe::safetensors_file file(data + "types.safetensors");
    const auto check = [&]<class T>(const char* name, T) {
        INFO(name);
        using limits = std::numeric_limits<T>;
        CHECK(values_of<T>(file.at(name)) == std::vector<T>{limits::min(), limits::max(), 0, 1});
        if constexpr (std::is_signed_v<T>) {
            CHECK(values_of<std::int64_t>(file.at(name))[0] == limits::min());
            CHECK_THROWS_AS(values_of<std::uint64_t>(file.at(name)), moe::io_error);
        } else {
            CHECK(values_of<std::uint64_t>(file.at(name))[1] == limits::max());
        }
        CHECK_THROWS_AS(values_of<double>(file.at(name)), moe::io_error);
    };
    check("I8", std::int8_t{});
    check("U8", std::uint8_t{});
    check("I16", std::int16_t{});
    check("U16", std::uint16_t{});
    check("I32", std::int32_t{});
    check("U32", std::uint32_t{});
    check("I64", std::int64_t{});
    check("U64", std::uint64_t{});
    CHECK(values_of<int>(file.at("BOOL")) == std::vector<int>{1, 0, 1});
    CHECK_THROWS_AS(values_of<double>(file.at("C64")), moe::io_error);
    const std::string text = io_error_of([&] { values_of<std::int32_t>(file.at("I64")); });
    CHECK_THAT(text, Catch::Matchers::Contains("'I64': wanted values that int32 holds, got another in element 0"));
}

TEST_CASE("tensors without rows, columns or dimensions and names outside ASCII are read as Python wrote them") {
    const moe::safetensors_file file(data + "types.safetensors");
    CHECK(file.at("scalar").shape.empty());
    CHECK(values_of<float>(file.at("scalar")) == std::vector<float>{2.5f});
    CHECK(file.at("no_rows").shape == moe::stored_shape{0, 4});
    CHECK(file.at("no_columns").shape == moe::stored_shape{4, 0});
    CHECK(file.find("quote \" and \\ and \xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80") != nullptr);
    CHECK(file.metadata().count("made_with") == 1);
}

TEST_CASE("what is read and written again is the file of Python, byte for byte") {
    for (const char* name : {"types.safetensors", "codes.safetensors", "packed.safetensors"}) {
        INFO(name);
        const scratch_folder folder;
        const moe::safetensors_file file(data + name);
        moe::safetensors_writer values(folder / "values", declarations_of(file.tensors()), file.metadata());
        moe::safetensors_writer copies(folder / "copies", declarations_of(file.tensors()), file.metadata());
        for (const moe::stored_tensor& t : file.tensors()) {
            write_again(values, t);
            copies.copy(t);
        }
        values.finish();
        copies.finish();
        CHECK(content_of(folder / "values") == content_of(data + name));
        CHECK(content_of(folder / "copies") == content_of(data + name));
    }
}

TEST_CASE("FP8 weights with block scales have the values that Python gives them") {
    const moe::checkpoint model(data + "packed.safetensors");
    CHECK(model.tensors().size() == 4);
    moe::matrix<float> w(130, 129);
    model.read("fp8.weight", w.view());
    std::vector<std::uint64_t> expected(1);
    model.read("fp8.hash", std::span(expected));
    CHECK(hash_of(w.span()) == expected[0]);
}

TEST_CASE("MXFP4 weights have the values that Python gives them") {
    const moe::checkpoint model(data + "packed.safetensors");
    CHECK(model.at("experts").shape == moe::stored_shape{2, 3, 64});
    CHECK_FALSE(model.contains("experts_blocks"));
    std::vector<float> got(384), expected(384);
    model.read("experts", std::span(got));
    model.read("value", std::span(expected));
    CHECK(got == expected);
}

TEST_CASE("a checkpoint in shards is read, and written again as huggingface_hub splits it") {
    const moe::checkpoint model(data + "sharded");
    REQUIRE(model.tensors().size() == 5);
    std::vector<moe::tensor_declaration> declarations;
    for (const auto& t : model.tensors()) declarations.push_back({t.name, t.codes->type, t.shape});
    const scratch_folder folder;
    moe::checkpoint_writer out(folder.path(), declarations, {.shard_bytes = 120, .metadata = {{"format", "pt"}}});
    for (const auto& t : model.tensors()) out.copy(*t.codes);
    out.finish();
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(data + "sharded")) {
        const std::string name = entry.path().filename().string();
        INFO(name);
        CHECK(content_of(folder / name) == content_of(entry.path().string()));
        ++files;
    }
    CHECK(files == 4);
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        CHECK(std::filesystem::exists(data + "sharded/" + entry.path().filename().string()));
    }
}
