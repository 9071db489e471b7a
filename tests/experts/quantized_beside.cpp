// tests/experts: formats of weights beside one another, and a layer that is quantised on the routes of a batch
// SPDX-License-Identifier: Apache-2.0
#include "experts/storages.hpp"
#include "moe/experts/banks.hpp"
#include "moe/experts/quantize_bank.hpp"
#include "moe/layer/shared.hpp"
#include "moe/metrics/quantization_table.hpp"

using namespace storages;

namespace {

constexpr moe::bank_options six{.features = 21, .hidden = 70, .experts = 6, .seed = 3};

// Experts [first, first + count) of a bank, in another storage.
template <class Storage>
bank_of<Storage> part_of(const moe::swiglu_bank<float>& bank, index_t first, index_t count) {
    moe::bank_options some = six;
    some.experts = count;
    bank_of<Storage> part{some};
    const auto copy = [&](const auto& from, auto& to) {
        moe::matrix<float> m(from.outputs(), from.inputs());
        for (index_t e = 0; e < count; ++e) {
            from.read(first + e, m.view());
            to.assign(e, m.view());
        }
    };
    copy(bank.gate, part.gate);
    copy(bank.up, part.up);
    copy(bank.down, part.down);
    return part;
}

template <class Layer>
moe::matrix<float> infer(const Layer& layer, const moe::matrix<float>& x) {
    moe::cpu cpu;
    return moe::testing::infer(cpu, layer, of(x));
}

}  // namespace

TEST_CASE("experts of one layer in different formats have the bits of a layer that is all in theirs") {
    const moe::swiglu_bank<float> trained{six};
    const auto router = small_router<float>(21, 6, 1);
    const moe::layer mixed{router, moe::banks{part_of<moe::int8_weights<32>>(trained, 0, 2),
                                              part_of<moe::int4_zero_weights<64>>(trained, 2, 1),
                                              part_of<moe::ternary_weights<32>>(trained, 3, 1),
                                              part_of<moe::bf16_weights>(trained, 4, 1),
                                              part_of<moe::same_scalar>(trained, 5, 1)}};
    const auto x = moe::testing::random_matrix<float>(200, 21, 2);
    moe::cpu cpu;
    moe::tape<float> tape;
    moe::matrix<float> y(200, 21);
    mixed.forward(cpu, of(x), y.view(), tape);
    const moe::plan_view plan = tape.plan();
    const auto check = [&]<class Storage>(Storage, index_t first, index_t last) {
        const auto wanted = infer(moe::layer{router, part_of<Storage>(trained, 0, 6)}, x);
        index_t rows = 0;
        for (index_t r = plan.begin(first); r < plan.end(last); ++r, ++rows) {
            const index_t t = plan.token[std::size_t(r)];
            CHECK(std::memcmp(y.view().row(t), wanted.view().row(t), 21 * sizeof(float)) == 0);
        }
        CHECK(rows > 5);
    };
    check(moe::int8_weights<32>{}, 0, 1);
    check(moe::int4_zero_weights<64>{}, 2, 2);
    check(moe::ternary_weights<32>{}, 3, 3);
    check(moe::bf16_weights{}, 4, 4);
    check(moe::same_scalar{}, 5, 5);
    CHECK(moe::testing::same_bits(infer(mixed, x), y));
}

TEST_CASE("a shared expert keeps its own format beside routed ones in another") {
    const moe::swiglu_bank<float> trained{six};
    const auto router = small_router<float>(21, 6, 2);
    moe::bank_options one = six;
    one.experts = 1;
    const bank_of<moe::bf16_weights> beside{one};
    const auto x = moe::testing::random_matrix<float>(30, 21, 2);
    const auto routed = infer(moe::layer{router, part_of<moe::int4_weights<32>>(trained, 0, 6)}, x);
    const auto both = infer(
        moe::layer{router, part_of<moe::int4_weights<32>>(trained, 0, 6), moe::shared{beside}}, x);
    const auto alone = infer(moe::layer{small_router<float>(21, 1, 1), beside}, x);
    moe::matrix<float> sum(30, 21);
    for (std::size_t i = 0; i < sum.span().size(); ++i) sum.span()[i] = routed.span()[i] + alone.span()[i];
    CHECK(relative_error(both.view(), sum.view()) <= 1e-6);
}

TEST_CASE("a layer is quantised on the rows that its own router sends to every expert") {
    const moe::layer layer{small_router<float>(21, 6, 2), moe::swiglu_bank<float>{six}};
    const auto x = moe::testing::random_matrix<float>(120, 21, 4);
    moe::matrix<float> y(120, 21);
    moe::cpu cpu;
    const moe::batch<float> batch = of(x);
    moe::tape<float> tape;
    layer.forward(cpu, batch, y.view(), tape);  // a calibration batch: its routes are on the tape
    auto [experts, report] = moe::quantize_bank<moe::int4_weights<32>>(cpu, layer.experts(), batch.x, tape.plan());
    const std::string table = moe::quantization_table(report);
    const moe::layer quantised{layer.router(), std::move(experts)};
    const double error = relative_error(infer(quantised, x).view(), y.view());
    CHECK(error > 0.01);
    CHECK(error < 0.25);
    CHECK(std::count(table.begin(), table.end(), '\n') >= 7);
    CAPTURE(table);
    CHECK(table.find("searched") != std::string::npos);
}
