#include <fstream>

#include "experts/storages.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/recompute.hpp"
#include "moe/experts/soft_merge_bank.hpp"
#include "moe/experts/weigh_hidden.hpp"
#include "moe/experts/weigh_input.hpp"
#include "moe/io/packed.hpp"
#include "moe/layer/any_layer.hpp"
#include "moe/layer/half_precision.hpp"

using namespace storages;

TEMPLATE_TEST_CASE("quantised weights of a bank are drawn, saved, loaded and mapped; another format is refused", "",
                   moe::int8_weights<32>, moe::int4_zero_weights<64>, moe::ternary_weights<64>,
                   moe::packed_ternary_weights) {
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu;
    const auto infer = [&](const auto& layer) { return moe::testing::infer(cpu, layer, of(x)); };
    auto layer = make_layer<TestType>();
    auto different = options;
    different.seed = 9;
    auto other = around(bank_of<TestType>{different});
    CHECK_FALSE(moe::testing::same_bits(infer(other), infer(layer)));
    moe::from_bytes(moe::to_bytes(layer), other);
    CHECK(moe::testing::same_bits(infer(other), infer(layer)));

    const std::string path = "quantized_kept." + std::to_string(TestType::template weights<float>::format::bits);
    moe::save_packed(path, layer);
    auto mapped = around(bank_of<TestType>{different});
    moe::map_packed(path, mapped);
    std::remove(path.c_str());
    CHECK(moe::testing::same_bits(infer(mapped), infer(layer)));

    auto wrong = make_layer<moe::int8_weights<moe::whole_rows>>();
    CHECK_THROWS_WITH(moe::from_bytes(moe::to_bytes(layer), wrong), 
                      Catch::Contains("wanted codes of 8 bits, a scale for whole rows, got "));
    auto plain = make_layer<moe::same_scalar>();
    CHECK_THROWS_WITH(moe::from_bytes(moe::to_bytes(plain), wrong),
                      Catch::Contains("got float32"));
}

TEST_CASE("quantised weights: a packed file of another format, damaged or cut off is refused, and changes nothing") {
    auto layer = make_layer<moe::int4_weights<32>>();
    const std::string path = "quantized_kept.hostile";
    moe::save_packed(path, layer);
    std::string bytes;
    {
        std::ifstream in(path, std::ios::binary);
        bytes.assign(std::istreambuf_iterator<char>(in), {});
    }
    const auto before = moe::to_bytes(layer);
    const auto refused = [&](const std::string& changed) {
        std::ofstream(path, std::ios::binary).write(changed.data(), std::streamsize(changed.size()));
        CHECK_THROWS_AS(moe::map_packed(path, layer), moe::io_error);
    };
    auto wrong = make_layer<moe::int4_weights<64>>();
    CHECK_THROWS_AS(moe::map_packed(path, wrong), moe::io_error);
    std::uint64_t header = 0;  // its end
    std::memcpy(&header, bytes.data() + 16, sizeof(header));
    REQUIRE(header > 100);
    for (std::size_t size = 0; size < header; size += 7) refused(bytes.substr(0, size));
    refused(bytes.substr(0, bytes.size() - 1));
    for (std::size_t at = 0; at < header; at += 3) {
        std::string flipped = bytes;
        flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
        refused(flipped);
    }
    std::remove(path.c_str());
    CHECK(moe::to_bytes(layer) == before);
}

TEST_CASE("quantised weights behind any_layer, and x and y of half width, give the bits of the layer itself") {
    auto layer = make_layer<moe::int4_zero_weights<64>>();
    moe::any_layer<float> any = layer;
    const auto wide = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu;
    CHECK(moe::testing::same_bits(moe::testing::infer(cpu, layer, of(wide)), moe::testing::infer(cpu, any, of(wide))));
    const auto trained = moe::testing::train_once(cpu, layer, of(wide));
    CHECK(moe::testing::same_bits(trained.dx, moe::testing::train_once(cpu, any, of(wide)).dx));
    CHECK(moe::to_bytes(layer) == moe::to_bytes(any));
    auto different = options;
    different.seed = 9;
    moe::any_layer<float> empty = around(bank_of<moe::int4_zero_weights<64>>{different});
    moe::from_bytes(moe::to_bytes(any), empty);
    CHECK(moe::testing::same_bits(moe::testing::infer(cpu, empty, of(wide)), moe::testing::infer(cpu, any, of(wide))));

    const auto check = [&](auto zero) {
        using half = decltype(zero);
        moe::matrix<half> x(9, 21), y(9, 9);
        moe::convert(cpu, wide.view(), x.view());
        moe::matrix<float> widened(9, 21);
        moe::convert(cpu, x.view(), widened.view());
        layer(cpu, x, y);
        const auto expected = moe::testing::infer(cpu, layer, of(widened));
        for (std::size_t i = 0; i < y.size(); ++i) {
            if (y.span()[i].bits != half(expected.span()[i]).bits) FAIL("element " << i);
        }
    };
    check(moe::bfloat16{});
    check(moe::float16{});
}

TEST_CASE("quantised weights: plain experts, experts of different sizes and formats, and what wraps a bank") {
    const auto x = moe::testing::random_matrix<float>(9, 21, 2);
    moe::cpu cpu{{.threads = 2}};
    const auto check = [&](const auto& layer, const auto& decoded) {
        CHECK(moe::testing::taped_equals_inference(cpu, layer, of(x)) == "");
        CHECK(moe::testing::isolates_tokens(cpu, layer, of(x)) == "");
        CHECK(moe::testing::independent_of_batch(cpu, layer, of(x)) == "");
        const auto got = moe::testing::train_once(cpu, layer, of(x));
        const auto wanted = moe::testing::train_once(cpu, decoded, of(x));
        // Inputs of products are rounded to 8 bits.
        CHECK(relative_error(got.y.view(), wanted.y.view()) < 0.02);
        CHECK(relative_error(got.dx.view(), wanted.dx.view()) < 0.02);
        CHECK_FALSE(moe::testing::same_bits(got.y, wanted.y));
    };
    using int8 = moe::int8_weights<32>;
    const bank_of<int8> bank{options};
    bank_of<moe::same_scalar> decoded{options};
    decode_into(bank, decoded);
    const auto wrapped = [&](const auto& wrap) { check(around(wrap(bank)), around(wrap(decoded))); };
    wrapped([](const auto& b) { return moe::recompute{b}; });
    wrapped([](const auto& b) { return moe::weigh_input{b}; });
    wrapped([](const auto& b) { return moe::weigh_hidden{b}; });
    wrapped([](const auto& b) { return moe::soft_merge_bank{b}; });

    auto narrow = options;
    narrow.hidden = 33;
    narrow.bias = false;
    const moe::relu_bank<float, moe::int4_weights<moe::whole_rows>> plain{narrow};
    moe::relu_bank<float> plain_decoded{narrow};
    for (const auto w : {0, 1}) {
        const auto& from = w == 0 ? plain.up : plain.down;
        auto& to = w == 0 ? plain_decoded.up : plain_decoded.down;
        moe::matrix<float> m(from.outputs(), from.inputs());
        for (index_t g = 0; g < from.groups(); ++g) {
            from.read(g, m.view());
            to.assign(g, m.view());
        }
    }
    check(around(moe::banks{bank, plain}), around(moe::banks{decoded, plain_decoded}));
}
