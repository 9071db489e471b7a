#include "experts/storages.hpp"
#include "moe/io/packed.hpp"

using namespace storages;

TEMPLATE_TEST_CASE("quantised weights of a bank are drawn, saved, loaded and mapped; another format is refused", "",
                   moe::int8_weights<32>, moe::int4_zero_weights<64>) {
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
    CHECK_THROWS_WITH(moe::from_bytes(moe::to_bytes(layer), wrong), Catch::Contains("wanted codes"));
}
