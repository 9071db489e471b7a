#include "moe/io/checkpoint.hpp"

#include <cmath>

#include "io/files.hpp"
#include "moe/core/storage.hpp"
#include "support/catch.hpp"

namespace {

using Catch::Matchers::Contains;

// A file with tensors that are given one by one.
class hand_made {
public:
    hand_made& add(const std::string& name, const std::string& type, const std::string& shape,
                   const std::string& data) {
        const std::string begin = std::to_string(data_.size());
        data_ += data;
        header_ += (header_.empty() ? "\"" : ",\"") + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape +
                   R"(,"data_offsets":[)" + begin + "," + std::to_string(data_.size()) + "]}";
        return *this;
    }
    std::string bytes() const { return safetensors_bytes("{" + header_ + "}", data_); }

private:
    std::string header_;
    std::string data_;
};

std::string f32(std::initializer_list<float> values) { return bytes_of(values); }

std::string opening_error(const std::string& path) {
    return io_error_of([&] { moe::checkpoint model(path); });
}

std::string index_error(const std::string& index) {
    const scratch_folder folder;
    folder.write("model.safetensors.index.json", index);
    folder.write("s.safetensors", hand_made().add("a", "F32", "[1]", f32({1})).bytes());
    return opening_error(folder.path());
}

std::string error_of(const hand_made& content) {
    const scratch_folder folder;
    return opening_error(folder.write("f.safetensors", content.bytes()));
}

}  // namespace

TEST_CASE("a folder with one file is a checkpoint, and so is the file") {
    const scratch_folder folder;
    const std::string path = folder.write("model.safetensors", hand_made().add("a", "F32", "[2]", f32({1, 2})).bytes());
    for (const std::string& place : {folder.path(), path}) {
        const moe::checkpoint model(place);
        CHECK(model.tensors().size() == 1);
        CHECK(model.contains("a"));
        CHECK_FALSE(model.contains("b"));
        std::vector<double> a(2);
        model.read("a", std::span(a));
        CHECK(a == std::vector<double>{1, 2});
        CHECK_THAT(io_error_of([&] { model.read("b", std::span(a)); }), Contains("wanted a tensor 'b', got none"));
    }
}

TEST_CASE("the shards of an index are one checkpoint, and only what it places counts") {
    const scratch_folder folder;
    const auto shard = [&](const std::string& file, const std::string& first, float a, const std::string& second, float b) {
        folder.write(file, hand_made().add(first, "F32", "[1]", f32({a})).add(second, "F32", "[1]", f32({b})).bytes());
    };
    shard("s1.safetensors", "a", 1, "c", 9);
    shard("s2.safetensors", "c", 3, "x", 4);
    const std::string index = folder.write("model.safetensors.index.json",
        R"({"metadata":{"total_size":8},"weight_map":{"c":"s2.safetensors","a":"s1.safetensors"}})");
    for (const std::string& place : {folder.path(), index}) {
        const moe::checkpoint model(place);
        REQUIRE(model.tensors().size() == 2);
        moe::matrix<float> one(1, 1);
        model.read("c", one.view());
        CHECK(one(0, 0) == 3);
        CHECK(model.tensors()[0].name == "a");
        CHECK_FALSE(model.contains("x"));
    }
}

TEST_CASE("an index that leads out of its folder is refused") {
    for (const char* name : {"../s.safetensors", "/etc/passwd", "sub/s.safetensors", "..", ".", "", "a\\\\b", "C:s",
                             "s.safetensors\\u0000/../x"}) {
        INFO(name);
        CHECK_THAT(index_error(std::string(R"({"weight_map":{"a":")") + name + "\"}}"),
                   Contains("tensor 'a': wanted the name of a file beside the index"));
    }
}

TEST_CASE("an index with a missing shard, a missing tensor or another form is refused") {
    CHECK_THAT(index_error(R"({"weight_map":{"a":"s.safetensors","b":"t.safetensors"}})"),
               Contains("tensor 'b': wanted the shard 't.safetensors' beside the index, got no such file"));
    CHECK_THAT(index_error(R"({"weight_map":{"a":"s.safetensors","b":"s.safetensors"}})"),
               Contains("tensor 'b': wanted it in the shard 's.safetensors', got no tensor of that name"));
    CHECK_THAT(index_error(R"({"weight_map":{"a":7}})"), Contains("tensor 'a': wanted the name of a file, got number"));
    CHECK_THAT(index_error(R"({"weight_map":{"a":"s.safetensors","a":"s.safetensors"}})"), Contains("'a' twice"));
    CHECK_THAT(index_error(R"({"weight_map":[]})"), Contains("weight_map: wanted an object, got array"));
    CHECK_THAT(index_error("{}"), Contains("weight_map: wanted an object, got none"));
    CHECK_THAT(index_error("3"), Contains("index: wanted an object, got number"));
    CHECK_THAT(index_error(""), Contains("wanted JSON"));
    const scratch_folder empty;
    CHECK_THAT(opening_error(empty.path()), Contains("model.safetensors.index.json, got neither"));
}

TEST_CASE("FP8 weights are multiplied by the scale of their 128 x 128 block, in every expert") {
    constexpr moe::index_t experts = 2, rows = 130, cols = 257;  // 2 x 3 blocks, the last of 2 rows and 1 column
    std::string codes;
    const auto code = [](int e, int r, int c) { return static_cast<unsigned char>((e * 31 + r * 7 + c * 3) % 0x7f); };
    for (int e = 0; e < experts; ++e)
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < cols; ++c) codes += static_cast<char>(code(e, r, c));
    std::string scales;
    const auto scale = [](int e, int r, int c) { return 0.1f * float(1 + e * 6 + (r / 128) * 3 + c / 128); };
    for (int e = 0; e < experts; ++e)
        for (int r : {0, 128})
            for (int c : {0, 128, 256}) scales += bytes_of({scale(e, r, c)});
    const scratch_folder folder;
    const moe::checkpoint model(folder.write("f.safetensors",
        hand_made().add("w", "F8_E4M3", "[2,130,257]", codes).add("w_scale_inv", "F32", "[2,2,3]", scales).bytes()));
    REQUIRE(model.tensors().size() == 1);
    CHECK(model.at("w").packing == moe::weight_packing::fp8_blocks);
    CHECK(model.stored("w_scale_inv") != nullptr);

    const auto value = [&](int e, int r, int c) {
        const int k = code(e, r, c), exponent = k >> 3, fraction = k & 7;
        return exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
    };
    moe::matrix<float> all(experts * rows, cols);
    model.read("w", all.view());
    moe::matrix<double> last(3, cols);
    model.read("w", rows + 127, last.view());  // of the second expert, over a border of blocks
    int wrong = 0;
    for (int e = 0; e < experts; ++e)
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < cols; ++c) {
                const double exact = value(e, r, c) * double(scale(e, r, c));
                wrong += all(e * rows + r, c) != static_cast<float>(exact);
                if (e == 1 && r >= 127) wrong += last(r - 127, c) != exact;
            }
    CHECK(wrong == 0);
}

TEST_CASE("FP8 scales of another shape or type, or none, are refused") {
    const std::string codes(4, '\x38');
    const auto weight = hand_made().add("w", "F8_E4M3", "[2,2]", codes);
    CHECK_THAT(error_of(hand_made(weight).add("w_scale_inv", "F32", "[2,1]", f32({1, 1}))),
               Contains("tensor 'w_scale_inv': wanted [1, 1] for weights [2, 2] in blocks of 128 x 128, got [2, 1]"));
    CHECK_THAT(error_of(hand_made().add("w", "F8_E4M3", "[4]", codes).add("w_scale_inv", "F32", "[1]", f32({1}))),
               Contains("tensor 'w': wanted at least 2 dimensions, got [4]"));
    CHECK_THAT(error_of(hand_made(weight).add("w_scale_inv", "U8", "[1,1]", "1")),
               Contains("wanted a floating-point type, got U8"));
    const scratch_folder folder;
    const moe::checkpoint bare(folder.write("f.safetensors", weight.bytes()));
    std::vector<float> w(4);
    CHECK_THAT(io_error_of([&] { bare.read("w", std::span(w)); }),
               Contains("wanted a tensor 'w_scale_inv' beside a weight of type F8_E4M3, got none"));
    bare.stored("w")->read(std::span(w));
    CHECK(w == std::vector<float>(4, 1.0f));
    std::vector<std::uint8_t> as_bytes(4);
    bare.read("w", std::span(as_bytes));
    CHECK(as_bytes == std::vector<std::uint8_t>(4, 0x38));
}

TEST_CASE("MXFP4 weights are codes, the lower half of a byte first, times a power of two for 32 columns") {
    std::string blocks;
    for (int b = 0; b < 2 * 3 * 2; ++b)
        for (int i = 0; i < 16; ++i) blocks += static_cast<char>((b * 16 + i * 37) & 255);
    const unsigned char scale[12] = {127, 128, 0, 254, 255, 120, 1, 130, 127, 127, 100, 140};
    const scratch_folder folder;
    const moe::checkpoint model(folder.write("f.safetensors", hand_made()
        .add("w_blocks", "U8", "[2,3,2,16]", blocks)
        .add("w_scales", "U8", "[2,3,2]", std::string(reinterpret_cast<const char*>(scale), 12)).bytes()));
    REQUIRE(model.tensors().size() == 1);
    const moe::checkpoint_tensor& w = model.at("w");
    CHECK(w.packing == moe::weight_packing::mxfp4);
    CHECK(w.shape == moe::stored_shape{2, 3, 64});

    const double magnitude[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    moe::matrix<double> all(6, 64);
    w.read(all.view());
    moe::matrix<float> expert(3, 64);
    w.read(3, expert.view());
    int wrong = 0;
    for (int r = 0; r < 6; ++r)
        for (int c = 0; c < 64; ++c) {
            const int block = r * 2 + c / 32;
            const int byte = static_cast<unsigned char>(blocks[std::size_t(block * 16 + c % 32 / 2)]);
            const int code = c % 2 == 0 ? byte & 15 : byte >> 4;
            const double v = std::ldexp(code < 8 ? magnitude[code] : -magnitude[code - 8], scale[block] - 127);
            const bool nan = scale[block] == 255;
            wrong += nan ? !std::isnan(all(r, c)) : all(r, c) != v;
            if (r >= 3 && !nan) wrong += expert(r - 3, c) != static_cast<float>(v);
        }
    CHECK(wrong == 0);
    std::vector<std::uint8_t> ints(384);
    CHECK_THAT(io_error_of([&] { w.read(std::span(ints)); }), Contains("got floating-point codes with scales"));
}

TEST_CASE("MXFP4 blocks and scales that do not fit are refused, and bytes without a partner are bytes") {
    const std::string block(32, '\x11');
    CHECK_THAT(error_of(hand_made().add("w_blocks", "U8", "[2,1,16]", block).add("w_scales", "U8", "[1,2]", "ab")),
               Contains("tensor 'w_scales': wanted [2, 1] for weights [2, 32] in blocks of 32, got [1, 2]"));
    CHECK_THAT(error_of(hand_made().add("w_blocks", "U8", "[2,2,8]", block).add("w_scales", "U8", "[2,2]", "abcd")),
               Contains("tensor 'w_blocks': wanted [..., blocks, 16], got [2, 2, 8]"));
    CHECK_THAT(error_of(hand_made().add("w_blocks", "U8", "[2,1,16]", block).add("w_scales", "I8", "[2,1]", "ab")),
               Contains("tensor 'w_scales': wanted U8 or F8_E8M0, got I8"));
    CHECK_THAT(error_of(hand_made().add("w_blocks", "U8", "[2,1,16]", block).add("w_scales", "U8", "[2,1]", "ab")
                            .add("w", "F32", "[1]", f32({1}))),
               Contains("wanted this weight either packed or plain, got both"));
    const scratch_folder folder;
    const moe::checkpoint model(folder.write("f.safetensors", hand_made().add("w_blocks", "U8", "[2,1,16]", block)
                                                 .add("v_scales", "U8", "[2]", "ab").bytes()));
    CHECK(model.contains("w_blocks"));
    CHECK(model.contains("v_scales"));
}

TEST_CASE("an empty weight may be packed") {
    const scratch_folder folder;
    const moe::checkpoint model(folder.write("f.safetensors", hand_made()
        .add("a", "F8_E4M3", "[0,200]", "").add("a_scale_inv", "F32", "[0,2]", "")
        .add("b_blocks", "U8", "[0,2,16]", "").add("b_scales", "U8", "[0,2]", "").bytes()));
    moe::matrix<float> a(0, 200), b(0, 64);
    CHECK_NOTHROW(model.read("a", a.view()));
    CHECK_NOTHROW(model.read("b", b.view()));
}
