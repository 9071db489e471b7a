#include "io/files.hpp"
#include "moe/core/storage.hpp"
#include "moe/io/checkpoint.hpp"
#include "moe/io/checkpoint_writer.hpp"
#include "support/catch.hpp"

namespace {

using Catch::Matchers::Contains;
using moe::stored_type;

}  // namespace

TEST_CASE("a stacked tensor is written by the rows of one expert after the other, between other tensors") {
    const scratch_folder folder;
    moe::safetensors_writer out(folder / "f", {{"w", stored_type::bf16, {3, 2, 4}}, {"b", stored_type::f32, {3}}});
    moe::matrix<float> expert(2, 4);
    for (int e = 0; e < 3; ++e) {
        for (moe::index_t i = 0; i < 8; ++i) expert(i / 4, i % 4) = float(8 * e + i);
        out.write("w", expert.view());
        if (e == 1) out.write("b", std::span<const float>(std::vector<float>{1, 2, 3}));
    }
    CHECK_FALSE(std::filesystem::exists(folder / "f"));
    out.finish();
    CHECK_NOTHROW(out.finish());
    const moe::safetensors_file file(folder / "f");
    std::vector<float> w(24), b(3);
    file.at("w").read(std::span(w));
    file.at("b").read(std::span(b));
    for (std::size_t i = 0; i < w.size(); ++i) CHECK(w[i] == float(i));
    CHECK(b == std::vector<float>{1, 2, 3});
}

TEST_CASE("more rows than fit into one piece are written in order") {
    const scratch_folder folder;
    moe::matrix<double> big(3000, 41);
    for (moe::index_t r = 0; r < 3000; ++r)
        for (moe::index_t c = 0; c < 41; ++c) big(r, c) = r * 64 + c;
    moe::safetensors_writer out(folder / "f", {{"w", stored_type::f64, {3000, 41}}});
    out.write("w", big.view().middle_rows(0, 1000));
    out.write("w", big.view().middle_rows(1000, 2000));
    out.finish();
    moe::matrix<double> again(3000, 41);
    moe::safetensors_file(folder / "f").at("w").read(again.view());
    CHECK(std::equal(big.data(), big.data() + big.size(), again.data()));
}

TEST_CASE("what does not fit the declaration is refused with its name and both sides") {
    const scratch_folder folder;
    moe::safetensors_writer out(folder / "f", {{"w", stored_type::f16, {2, 3}}, {"i", stored_type::u8, {3}}});
    const auto writing = [&](const char* name, auto element, moe::index_t rows, moe::index_t cols) {
        const moe::matrix<decltype(element)> m(rows, cols);
        return io_error_of([&] { out.write(name, m.view()); });
    };
    CHECK_THAT(writing("v", 0.0f, 2, 3), Contains("wanted a tensor that was declared, got 'v'"));
    CHECK_THAT(writing("w", 0.0f, 2, 4), Contains("'w': wanted rows of 3 columns for shape [2, 3], got 4 columns"));
    CHECK_THAT(writing("w", 0.0f, 3, 3), Contains("wanted rows below 2 for shape [2, 3], got 3 rows from 0 on"));
    CHECK_THAT(writing("w", 0, 2, 3), Contains("wanted a type that is written from int32, got F16"));
    CHECK_THAT(writing("i", 0.0f, 1, 3), Contains("wanted a type that is written from float32, got U8"));
    const std::vector<int> ids{1, 256, 3}, small_ids{1, 255, 3};
    CHECK_THAT(io_error_of([&] { out.write("i", std::span(ids)); }),
               Contains("tensor 'i': wanted values that U8 holds, got another in element 1"));
    CHECK_THAT(io_error_of([&] { out.write("w", std::span<const float>(std::vector<float>(5))); }),
               Contains("wanted all elements of shape [2, 3], got 5"));
    // A refused write leaves nothing behind: the same rows may come again.
    out.write("i", std::span(small_ids));
    CHECK_THAT(io_error_of([&] { out.finish(); }), Contains("tensor 'w': wanted 2 rows, got 0"));
    CHECK_FALSE(std::filesystem::exists(folder / "f"));
    out.write("w", moe::matrix<float>(2, 3).view());
    CHECK_THAT(writing("w", 0.0f, 1, 3), Contains("got 1 rows from 2 on"));
    out.finish();
    CHECK_THAT(writing("w", 0.0f, 2, 3), Contains("wanted a tensor that was declared"));
    std::vector<int> read(3);
    moe::safetensors_file(folder / "f").at("i").read(std::span(read));
    CHECK(read == small_ids);
}

TEST_CASE("declarations that cannot be a file are refused") {
    const scratch_folder folder;
    const auto declaring = [&](std::vector<moe::tensor_declaration> tensors) {
        return io_error_of([&] { moe::safetensors_writer out(folder / "f", std::move(tensors)); });
    };
    CHECK_THAT(declaring({{"a", stored_type::f32, {1}}, {"a", stored_type::f16, {1}}}), Contains("every tensor once"));
    CHECK_THAT(declaring({{"__metadata__", stored_type::f32, {1}}}), Contains("none of them __metadata__"));
    CHECK_THAT(declaring({{"\xff", stored_type::f32, {1}}}), Contains("names and metadata in UTF-8"));
    CHECK_THAT(declaring({{"a", stored_type::f4, {3}}}), Contains("tensor 'a': wanted whole bytes, got 12 bits"));
    CHECK_THAT(declaring({{"a", stored_type::f32, {1ull << 32, 1ull << 32}}}), Contains("fewer than 2^63 bits"));
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a writer that does not finish leaves the file that was there") {
    const scratch_folder folder;
    folder.write("f", "old");
    {
        moe::safetensors_writer out(folder / "f", {{"w", stored_type::f32, {1}}});
        out.write("w", std::span<const float>(std::vector<float>{1}));
    }
    CHECK(content_of(folder / "f") == "old");
    CHECK_FALSE(std::filesystem::exists(folder / "f.part"));
    CHECK_THAT(io_error_of([&] { moe::safetensors_writer out(folder / "no/f", {}); }),
               Contains("a file that can be written"));
}

TEST_CASE("a file without tensors is a file") {
    const scratch_folder folder;
    moe::safetensors_writer out(folder / "f", {});
    out.finish();
    CHECK(moe::safetensors_file(folder / "f").tensors().empty());
}

TEST_CASE("a checkpoint that fits into one file has no index, and its folder is not taken twice") {
    const scratch_folder folder;
    const std::string path = folder / "new";
    const std::vector<moe::tensor_declaration> one{{"w", stored_type::f32, {2}}};
    moe::checkpoint_writer out(path, one);
    out.write("w", std::span<const float>(std::vector<float>{1, 2}));
    CHECK_THAT(io_error_of([&] { out.write("v", std::span<const float>(std::vector<float>{1})); }),
               Contains("got 'v'"));
    out.finish();
    CHECK(moe::checkpoint(path).tensors().size() == 1);
    CHECK_FALSE(std::filesystem::exists(path + "/model.safetensors.index.json"));
    CHECK_THAT(io_error_of([&] { moe::checkpoint_writer again(path, one); }),
               Contains("wanted a folder without a checkpoint, got model.safetensors"));
    CHECK_THAT(io_error_of([&] { moe::checkpoint_writer twice(folder / "other", {{"w"}, {"w"}}, {.shard_bytes = 1}); }),
               Contains("wanted every tensor once, got 'w'"));
}
