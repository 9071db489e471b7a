#include "moe/io/safetensors.hpp"

#include "io/files.hpp"
#include "moe/core/storage.hpp"
#include "support/catch.hpp"

namespace {

using Catch::Matchers::Contains;

const std::string two_floats = R"({"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
const std::string eight_bytes = bytes_of<float>({1.5f, -2.0f});

std::string refusal_of(const std::string& content) {
    const scratch_folder folder;
    const std::string path = folder.write("f.safetensors", content);
    std::string text = io_error_of([&] { moe::safetensors_file file(path); });
    CHECK_THAT(text, Contains("f.safetensors"));
    return text;
}

std::string refusal_of(const std::string& header, const std::string& data) {
    return refusal_of(safetensors_bytes(header, data));
}

// One tensor "w" of this type, shape and offsets over eight bytes.
std::string entry_refusal(const std::string& type, const std::string& shape, const std::string& offsets) {
    const std::string text = refusal_of(
        R"({"w":{"dtype":)" + type + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", eight_bytes);
    CHECK_THAT(text, Contains("tensor 'w'"));
    return text;
}

}  // namespace

TEST_CASE("a safetensors file is read by name, whole or by rows, and tells its metadata") {
    const scratch_folder folder;
    const std::string header = R"({"__metadata__":{"format":"pt"},)"
                               R"("b":{"dtype":"I64","shape":[2],"data_offsets":[24,40]},)"
                               R"("a":{"dtype":"F32","shape":[3,1,2],"data_offsets":[0,24]}}    )";
    const std::string data = bytes_of<float>({1, 2, 3, 4, 5, 6}) + bytes_of<std::int64_t>({-7, 300});
    const moe::safetensors_file file(folder.write("f.safetensors", safetensors_bytes(header, data)));
    REQUIRE(file.tensors().size() == 2);
    CHECK(file.tensors()[0].name == "a");
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.find("c") == nullptr);
    const moe::stored_tensor& a = file.at("a");
    CHECK(a.shape == moe::stored_shape{3, 1, 2});
    CHECK(a.type == moe::stored_type::f32);
    moe::matrix<double> rows(2, 2);
    a.read(1, rows.view());
    CHECK(rows(0, 0) == 3);
    CHECK(rows(1, 1) == 6);
    std::vector<float> all(6);
    a.read(std::span(all));
    CHECK(all == std::vector<float>{1, 2, 3, 4, 5, 6});
    std::vector<int> ids(2);
    file.at("b").read(std::span(ids));
    CHECK(ids == std::vector<int>{-7, 300});
}

TEST_CASE("an opened safetensors file may be moved") {
    const scratch_folder folder;
    moe::safetensors_file first(folder.write("f.safetensors", safetensors_bytes(two_floats, eight_bytes)));
    const moe::safetensors_file file = std::move(first);
    std::vector<float> w(2);
    file.at("w").read(std::span(w));
    CHECK(w == std::vector<float>{1.5f, -2.0f});
}

TEST_CASE("scalars, vectors and tensors without elements have rows of their last dimension") {
    const scratch_folder folder;
    const std::string header = R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
                               R"("v":{"dtype":"U8","shape":[3],"data_offsets":[8,11]},)"
                               R"("e":{"dtype":"F32","shape":[0,5],"data_offsets":[11,11]},)"
                               R"("n":{"dtype":"F32","shape":[5,0],"data_offsets":[8,8]}})";
    const moe::safetensors_file file(
        folder.write("f.safetensors", safetensors_bytes(header, bytes_of<double>({0.25}) + "\x01\x02\xff")));
    moe::matrix<float> one(1, 1);
    file.at("s").read(one.view());
    CHECK(one(0, 0) == 0.25f);
    moe::matrix<int> three(1, 3);
    file.at("v").read(three.view());
    CHECK(three(0, 2) == 255);
    moe::matrix<float> none(0, 5);
    CHECK_NOTHROW(file.at("e").read(none.view()));
    moe::matrix<float> flat(5, 0);
    CHECK_NOTHROW(file.at("n").read(flat.view()));
    CHECK_NOTHROW(file.at("n").read(std::span<float>()));
}

TEST_CASE("data that begins on an odd byte is read as any other") {
    const scratch_folder folder;
    const std::string header = two_floats + " ";
    REQUIRE(header.size() % 8 != 0);
    const moe::safetensors_file file(folder.write("f.safetensors", safetensors_bytes(header, eight_bytes)));
    std::vector<float> w(2);
    file.at("w").read(std::span(w));
    CHECK(w == std::vector<float>{1.5f, -2.0f});
}

TEST_CASE("reading what a tensor does not have is refused with its name and both shapes") {
    const scratch_folder folder;
    const moe::safetensors_file file(folder.write("f.safetensors", safetensors_bytes(two_floats, eight_bytes)));
    const moe::stored_tensor& w = file.at("w");
    const auto read = [&](auto element, moe::index_t rows, moe::index_t cols, std::uint64_t first) {
        moe::matrix<decltype(element)> out(rows, cols);
        const auto view = out.view();
        return io_error_of([&] { w.read(first, view); });
    };
    CHECK_THAT(read(0.0f, 1, 3, 0), Contains("tensor 'w': wanted rows of 2 columns for shape [1, 2], got 3 columns"));
    CHECK_THAT(read(0.0f, 2, 2, 0), Contains("wanted rows below 1 for shape [1, 2], got 2 rows from 0 on"));
    CHECK_THAT(read(0.0f, 1, 2, 1), Contains("got 1 rows from 1 on"));
    CHECK_THAT(read(0.0f, 1, 2, ~std::uint64_t{0}), Contains("rows from 18446744073709551615 on"));
    CHECK_THAT(read(0, 1, 2, 0), Contains("wanted a type that is read into int32, got F32"));
    moe::matrix<float> half(0, 2);
    CHECK_THAT(io_error_of([&] { w.read(half.view()); }), Contains("wanted all 1 rows of shape [1, 2], got 0"));
    std::vector<float> short_by_one(1);
    CHECK_THAT(io_error_of([&] { w.read(std::span(short_by_one)); }),
               Contains("wanted all elements of shape [1, 2], got 1"));
    CHECK_THAT(io_error_of([&] { file.at("v"); }), Contains("wanted a tensor 'v', got none of that name among 1"));
}

TEST_CASE("every truncation and every extension of a safetensors file is refused") {
    const std::string whole = safetensors_bytes(two_floats, eight_bytes);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CHECK_THAT(refusal_of(whole.substr(0, size)), Contains("wanted"));
    }
    CHECK_THAT(refusal_of(whole + "x"), Contains("wanted 8 bytes, all of them of tensors, got 9"));
}

TEST_CASE("a header length beyond the file or beyond the limit is refused") {
    CHECK_THAT(refusal_of(bytes_of<std::uint64_t>({~std::uint64_t{0}}) + "{}"),
               Contains("header length: wanted at most 2, got 18446744073709551615"));
    CHECK_THAT(refusal_of(bytes_of<std::uint64_t>({3}) + "{}"), Contains("wanted at most 2, got 3"));
    CHECK_THAT(refusal_of(bytes_of<std::uint64_t>({0})), Contains("an object that begins with '{'"));
}

TEST_CASE("a header that is not the JSON of the format is refused") {
    CHECK_THAT(refusal_of("{", ""), Contains("wanted JSON"));
    CHECK_THAT(refusal_of("{} {}", ""), Contains("wanted JSON"));
    CHECK_THAT(refusal_of(" {}", ""), Contains("begins with '{'"));
    CHECK_THAT(refusal_of("[]", ""), Contains("begins with '{'"));
    CHECK_THAT(refusal_of("{\"\xff\xfe\":1}", ""), Contains("wanted JSON"));
    CHECK_THAT(refusal_of(R"({"w":[]})", ""), Contains("tensor 'w': wanted an object, got array"));
    CHECK_THAT(refusal_of(R"({"__metadata__":3})", ""), Contains("__metadata__: wanted an object, got number"));
    CHECK_THAT(refusal_of(R"({"__metadata__":{"a":3}})", ""), Contains("__metadata__ 'a': wanted a text"));
    CHECK_THAT(refusal_of(R"({"w":{}})", ""), Contains("wanted a member dtype, got none"));
    const std::string nested(100000, '[');
    CHECK_THAT(refusal_of("{\"w\":" + nested, ""), Contains("at most 64 arrays and objects inside one another"));
    const std::string long_name(5000, 'n');
    CHECK(refusal_of("{\"" + long_name + "\":1}", "").size() < 500);
    CHECK_THAT(refusal_of(R"({"a\n\u0007b":1})", ""), Contains("tensor 'a??b'"));
}

TEST_CASE("a name that occurs twice is refused") {
    const std::string w = two_floats.substr(1, two_floats.size() - 2);
    CHECK_THAT(refusal_of("{" + w + "," + w + "}", eight_bytes), Contains("every key once in its object, got 'w'"));
    CHECK_THAT(refusal_of(R"({"w":{"dtype":"F32","dtype":"F16"}})", ""), Contains("'dtype' twice"));
}

TEST_CASE("a name outside ASCII is a name") {
    const scratch_folder folder;
    const std::string header = "{\"gewicht_\xc3\xbc\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    const moe::safetensors_file file(folder.write("f.safetensors", safetensors_bytes(header, eight_bytes)));
    CHECK(file.find("gewicht_\xc3\xbc") != nullptr);
}

TEST_CASE("types, shapes and offsets that cannot be are refused with the tensor's name") {
    CHECK_THAT(entry_refusal("3", "[2]", "[0,8]"), Contains("wanted dtype: a text, got number"));
    CHECK_THAT(entry_refusal("\"F31\"", "[2]", "[0,8]"), Contains("wanted dtype: a type of the format, got 'F31'"));
    CHECK_THAT(entry_refusal("\"F32\"", "2", "[0,8]"), Contains("wanted shape: an array, got number"));
    for (const char* bad : {"[-2]", "[2.0]", "[1e30]", "[18446744073709551616]", "[\"2\"]", "[null]", "[[2]]"}) {
        CHECK_THAT(entry_refusal("\"F32\"", bad, "[0,8]"), Contains("shape: integers from 0 to 2^64 - 1"));
    }
    CHECK_THAT(entry_refusal("\"F32\"", "[3]", "[0,8]"), Contains("wanted 96 bits for F32 [3], got 8 bytes"));
    CHECK_THAT(entry_refusal("\"F4\"", "[15]", "[0,8]"), Contains("wanted 60 bits for F4 [15], got 8 bytes"));
    CHECK_THAT(entry_refusal("\"F32\"", "[4294967296,4294967296]", "[0,8]"), Contains("fewer than 2^64 elements"));
    CHECK_THAT(entry_refusal("\"F32\"", "[2305843009213693954]", "[0,8]"), Contains("fewer than 2^64 bits"));
    CHECK_THAT(entry_refusal("\"F32\"", "[2]", "[8,0]"), Contains("in order and at most 8, got [8, 0]"));
    CHECK_THAT(entry_refusal("\"F32\"", "[2]", "[8,16]"), Contains("in order and at most 8, got [8, 16]"));
    CHECK_THAT(entry_refusal("\"F32\"", "[2]", "[18446744073709551608,0]"), Contains("in order and at most 8"));
    CHECK_THAT(entry_refusal("\"F32\"", "[2]", "[0]"), Contains("wanted data_offsets: 2 numbers, got 1"));
    CHECK_THAT(entry_refusal("\"F32\"", "[1]", "[4,8]"), Contains("wanted data that begins at 0"));
}

TEST_CASE("tensors that overlap or leave a gap are refused") {
    const auto two = [](const std::string& first, const std::string& second) {
        return R"({"a":{"dtype":"U8","shape":[3],"data_offsets":)" + first +
               R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
    };
    CHECK_THAT(refusal_of(two("[0,3]", "[4,8]"), eight_bytes), Contains("tensor 'b': wanted data that begins at 3"));
    CHECK_THAT(refusal_of(two("[0,3]", "[2,6]"), eight_bytes), Contains("tensor 'b': wanted data that begins at 3"));
    CHECK_THAT(refusal_of(two("[0,3]", "[0,4]"), eight_bytes), Contains("tensor 'b': wanted data that begins at 3"));
    CHECK_THAT(refusal_of(two("[0,3]", "[3,7]"), eight_bytes), Contains("7 bytes, all of them of tensors, got 8"));
    const scratch_folder folder;
    const std::string fits = safetensors_bytes(two("[0,3]", "[3,7]"), eight_bytes.substr(1));
    CHECK_NOTHROW(moe::safetensors_file(folder.write("f.safetensors", fits)));
}

TEST_CASE("what is no regular file is refused") {
    const scratch_folder folder;
    CHECK_THAT(io_error_of([&] { moe::safetensors_file file(folder / "absent"); }), Contains("absent: wanted a file"));
    CHECK_THAT(io_error_of([&] { moe::safetensors_file file(folder.path()); }), Contains("wanted a file"));
}
