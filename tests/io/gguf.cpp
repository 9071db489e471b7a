// GGUF files: what the package gguf says of their blocks, and what is refused.
#include "moe/io/gguf.hpp"

#include "io/files.hpp"
#include "io/gguf_bytes.hpp"
#include "moe/core/storage.hpp"
#include "moe/io/checkpoint.hpp"
#include "support/catch.hpp"

namespace {

const std::string data = MOE_TEST_SOURCE_DIR "/tests/io/data/";

std::vector<float> values_of(const moe::checkpoint_tensor& t) {
    std::vector<float> out(std::size_t(t.rows() * t.cols()));
    t.read(std::span<float>(out));
    return out;
}

std::string refusal(const std::string& content) {
    const scratch_folder at;
    const std::string path = at.write("a.gguf", content);
    return io_error_of([&] {
        const moe::gguf_file file(path);
        for (const moe::checkpoint_tensor& t : file.tensors()) (void)values_of(t);
    });
}

gguf_bytes small() {
    gguf_bytes b;
    b.string("general.architecture", "llama").floats("a", {3, 2}, {1, 2, 3, 4, 5, 6}).floats("b", {2}, {7, 8});
    return b;
}

}  // namespace

TEST_CASE("blocks of every type hold the values that the package gguf gives them, bit for bit") {
    const moe::gguf_file file(data + "blocks.gguf");
    const moe::checkpoint expected(data + "blocks.safetensors");
    for (const char* type : {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K", "MXFP4"}) {
        INFO(type);
        const moe::checkpoint_tensor& t = file.at(type);
        CHECK(t.format->name == type);
        CHECK(t.shape == expected.at(type).shape);
        CHECK(values_of(t) == values_of(expected.at(type)));
    }
}

TEST_CASE("random bytes as blocks, infinite and NaN scales among them, mean what they mean to the package gguf") {
    const moe::gguf_file file(data + "blocks.gguf");
    const moe::checkpoint expected(data + "blocks.safetensors");
    for (const char* type : {"Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K", "MXFP4"}) {
        INFO(type);
        std::vector<unsigned char> bytes;
        for (const float v : values_of(file.at(type + std::string(".any")))) {
            moe::detail::append(bytes, v != v ? 0x7fc00000u : std::bit_cast<std::uint32_t>(v));
        }
        std::uint64_t want = 0;
        expected.read(type + std::string(".any.hash"), std::span<std::uint64_t>(&want, 1));
        CHECK(moe::detail::fnv1a(bytes) == want);
    }
}

TEST_CASE("the last scale of MXFP4 is 2^128 in GGUF files, where it would be NaN in safetensors files") {
    gguf_bytes b;
    b.data = "\xff" + std::string(16, '\x12');
    b.tensor("w", {32}, 39, 0);
    const scratch_folder at;
    const moe::gguf_file file(at.write("a.gguf", b.bytes()));
    const auto values = values_of(file.at("w"));
    CHECK(values.front() == std::numeric_limits<float>::infinity());
    CHECK(values.back() == 0x1p127f);
}

TEST_CASE("rows are read from anywhere, into doubles and bfloat16 as into floats") {
    const moe::gguf_file file(data + "blocks.gguf");
    const moe::checkpoint_tensor& t = file.at("Q6_K");
    const auto all = values_of(t);
    moe::matrix<double> wide(2, 512);
    t.read(3, wide.view());
    moe::matrix<moe::bfloat16> narrow(1, 512);
    t.read(5, narrow.view());
    for (moe::index_t c = 0; c < 512; ++c) {
        CHECK(wide(1, c) == double(all[std::size_t(4 * 512 + c)]));
        CHECK(float(narrow(0, c)) == float(moe::bfloat16(all[std::size_t(5 * 512 + c)])));
    }
    CHECK_THAT(io_error_of([&] { t.read(5, wide.view()); }), Catch::Contains("tensor 'Q6_K': wanted rows below 6"));
    std::vector<int> integers(6 * 512);
    CHECK_THAT(io_error_of([&] { t.read(std::span<int>(integers)); }), Catch::Contains("got floating-point codes"));
}

TEST_CASE("metadata is numbers, texts and lists of these") {
    const moe::gguf_file file(data + "blocks.gguf");
    CHECK(file.value("general.architecture")->text() == "llama");
    CHECK(file.value("third")->json() == moe::json_value(1.0f / 3.0f));
    CHECK(file.value("yes")->json() == moe::json_value(true));
    CHECK(file.value("numbers")->json() == moe::json_value({3, -1, 2}));
    CHECK(file.value("words")->count == 3);
    CHECK(file.value("words")->json().is_null());
    CHECK(file.value("no such key") == nullptr);
}

TEST_CASE("a checkpoint opens a GGUF file, and the files of a model that is split") {
    const scratch_folder at;
    at.write("m.gguf", small().bytes());
    const moe::checkpoint whole(at / "m.gguf");
    CHECK(whole.tensors().size() == 2);
    CHECK(values_of(whole.at("a")) == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(whole.at("a").shape == moe::stored_shape{2, 3});
    CHECK(whole.stored("b")->type == moe::stored_type::f32);

    const auto part = [&](const std::string& name, std::uint32_t no, const std::string& tensor) {
        gguf_bytes b;
        b.u32("split.count", 2).u32("split.no", no).floats(tensor, {1}, {float(no)});
        return at.write(name, b.bytes());
    };
    const std::string first = part("s-00001-of-00002.gguf", 0, "z");
    CHECK_THAT(io_error_of([&] { (void)moe::checkpoint(first); }), Catch::Contains("s-00002-of-00002.gguf"));
    part("s-00002-of-00002.gguf", 1, "c");
    const moe::checkpoint both(first);
    CHECK(values_of(both.at("c")) == std::vector<float>{1});
    CHECK(values_of(both.at("z")) == std::vector<float>{0});
    CHECK_THAT(io_error_of([&] { (void)moe::checkpoint(at / "s-00002-of-00002.gguf"); }),
               Catch::Contains("wanted the first file of the model, whose name ends in -00001-of-00002.gguf"));
    part("s-00002-of-00002.gguf", 1, "z");
    CHECK_THAT(io_error_of([&] { (void)moe::checkpoint(first); }), Catch::Contains("in another one, too"));
    part("s-00002-of-00002.gguf", 0, "c");
    CHECK_THAT(io_error_of([&] { (void)moe::checkpoint(first); }), Catch::Contains("file 2 of 2 of a model"));
}

TEST_CASE("a file cut short anywhere is refused") {
    const std::string whole = small().bytes();
    CHECK(refusal(whole) == "no exception");
    for (std::size_t n = 0; n + 24 < whole.size(); ++n) {  // the last tensor ends 24 bytes before the end
        CHECK_THAT(refusal(whole.substr(0, n)), Catch::StartsWith("moe: "));
    }
}

TEST_CASE("another file, another version and a file of a big-endian machine are told apart") {
    gguf_bytes b = small();
    b.magic = "GGJT";
    CHECK_THAT(refusal(b.bytes()), Catch::Contains("first bytes: wanted 'GGUF', got another file"));
    b = small();
    b.version = 1;
    CHECK_THAT(refusal(b.bytes()), Catch::Contains("version: wanted 2 or 3, got 1"));
    b.version = 0x03000000;
    CHECK_THAT(refusal(b.bytes()), Catch::Contains("got that of a big-endian machine"));
    b.version = 2;
    CHECK(refusal(b.bytes()) == "no exception");
}

TEST_CASE("numbers of things that the file has no room for are refused before memory is asked for") {
    gguf_bytes b = small();
    b.more_tensors = std::uint64_t{1} << 62;
    CHECK_THAT(refusal(b.bytes()), Catch::Contains("number of tensors: wanted at most"));
    b = small();
    b.more_values = ~std::uint64_t{0} - 1;
    CHECK_THAT(refusal(b.bytes()), Catch::Contains("number of values: wanted at most"));
    b = small();
    b.more_tensors = 1;
    CHECK_THAT(refusal(b.bytes()), Catch::StartsWith("moe: "));
    const auto array = [](std::uint32_t type, std::uint64_t count) {
        return gguf_bytes::number(type) + gguf_bytes::number(count);
    };
    CHECK_THAT(refusal(small().value("k", 9, array(12, std::uint64_t{1} << 61)).bytes()),
               Catch::Contains("key 'k': wanted at most"));
    CHECK_THAT(refusal(small().value("k", 9, array(8, std::uint64_t{1} << 61)).bytes()),
               Catch::Contains("elements, got 23058"));
    CHECK_THAT(refusal(small().value("k", 8, gguf_bytes::number(~std::uint64_t{0})).bytes()),
               Catch::Contains("key 'k': wanted a text of at most"));
}

TEST_CASE("values of unknown types, arrays of arrays, bools of other bytes and keys that occur twice are refused") {
    CHECK_THAT(refusal(small().value("k", 13, "").bytes()),
               Catch::Contains("key 'k': wanted a type from 0 to 12, got 13"));
    const std::string nested = gguf_bytes::number(9u) + gguf_bytes::number(std::uint64_t{1});
    CHECK_THAT(refusal(small().value("k", 9, nested + nested).bytes()),
               Catch::Contains("key 'k': wanted an array of numbers or texts, got one of arrays"));
    CHECK_THAT(refusal(small().value("k", 7, "\x02").bytes()), Catch::Contains("key 'k': wanted 0 or 1 for a bool"));
    CHECK_THAT(refusal(small().u32("k", 1).u32("k", 1).bytes()),
               Catch::Contains("key 'k': wanted every key once, got it twice"));
}

TEST_CASE("an alignment that is no power of two is refused, any power of two is taken") {
    for (const std::uint32_t wrong : {0u, 24u, ~0u}) {
        CHECK_THAT(refusal(small().u32("general.alignment", wrong).bytes()),
                   Catch::Contains("general.alignment: wanted a power of two of type uint32, got " +
                                   std::to_string(wrong)));
    }
    CHECK_THAT(refusal(small().string("general.alignment", "32").bytes()), Catch::Contains("general.alignment"));
    CHECK_THAT(refusal(small().u32("general.alignment", 64).bytes()),
               Catch::Contains("an offset that is a multiple of 64, got 32"));
    gguf_bytes b;
    b.alignment = 256;
    b.u32("general.alignment", 256).floats("a", {1}, {1}).floats("b", {1}, {2});
    CHECK(refusal(b.bytes()) == "no exception");
}

TEST_CASE("tensors of unknown types, too many dimensions, broken blocks, other offsets or twice the name are refused") {
    CHECK_THAT(refusal(small().tensor("t", {32}, 4, 0).bytes()),
               Catch::Contains("tensor 't': wanted a type of ggml, got number 4"));
    CHECK_THAT(refusal(small().tensor("t", {32}, 4000, 0).bytes()), Catch::Contains("got number 4000"));
    CHECK_THAT(refusal(small().tensor("t", {1, 1, 1, 1, 1}, 0, 0).bytes()),
               Catch::Contains("wanted at most 4 dimensions, got 5"));
    CHECK_THAT(refusal(small().tensor("t", {48, 2}, 8, 0).bytes()),
               Catch::Contains("tensor 't': wanted columns in blocks of 32, got Q8_0 [2, 48]"));
    CHECK_THAT(refusal(small().tensor("t", {1}, 0, 4).bytes()),
               Catch::Contains("an offset that is a multiple of 32, got 4"));
    CHECK_THAT(refusal(small().tensor("a", {1}, 0, 64).bytes()), Catch::StartsWith("moe: "));
    CHECK_THAT(refusal(small().tensor("a", {0}, 0, 0).bytes()),
               Catch::Contains("tensor 'a': wanted every tensor once, got it twice"));
}

TEST_CASE("data outside of the file, shapes and offsets beyond 2^64 and data that two tensors have are refused") {
    constexpr std::uint64_t far = std::uint64_t{1} << 63;
    CHECK_THAT(refusal(small().tensor("t", {100}, 0, 0).bytes()),
               Catch::Contains("tensor 't': wanted data inside the 64 bytes"));
    CHECK_THAT(refusal(small().tensor("t", {1}, 0, ~std::uint64_t{31}).bytes()), Catch::Contains("wanted data inside"));
    CHECK_THAT(refusal(small().tensor("t", {far, 2}, 0, 0).bytes()),
               Catch::Contains("a shape with fewer than 2^64 bytes"));
    CHECK_THAT(refusal(small().tensor("t", {1u << 31, 1u << 31, 4}, 0, 0).bytes()),
               Catch::Contains("fewer than 2^64 bytes"));
    CHECK_THAT(refusal(small().tensor("t", {0, far, far}, 0, 0).bytes()), Catch::Contains("fewer than 2^64 bytes"));
    CHECK_THAT(refusal(small().tensor("t", {1}, 0, 32).bytes()), Catch::Contains("wanted data of its own"));
}

TEST_CASE("a tensor of a type that is not decoded is listed and refused when it is read") {
    gguf_bytes b;
    b.data = std::string(22, '\0');
    b.tensor("w", {32}, 6, 0);
    CHECK_THAT(refusal(b.bytes()), Catch::Contains("tensor 'w': wanted a type that is decoded, got Q5_0"));
}
