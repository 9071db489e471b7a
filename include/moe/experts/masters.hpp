// experts/masters: banks that are rounded from the same trained floats
// SPDX-License-Identifier: Apache-2.0
//
//     moe::swiglu_bank<float, moe::ternary_with_masters<32>> trained{...};
//     auto deployed = moe::without_masters(trained);                        the same codes alone: ternary_weights<32>
//     auto narrow = moe::round_masters<moe::nested_with_masters<2, 32>>(trained);      the masters, rounded otherwise
//
// quantize_bank of a bank with masters would round what is rounded already. Gradients of all storages with masters have
// one type and backward adds, so layers of several widths that round the same masters can be trained in one step: add
// their gradients in one object, step one of them, round_masters the others from it. Source: Matryoshka Quantization
// (Nair et al. 2025), the sum of the losses of all widths.
#pragma once

#include "moe/experts/quantize_bank.hpp"

MOE_BEGIN

// The packed weights of a bank, with their codes as they are.
template <class A, class Storage>
ffn_bank<float, A, typename Storage::without_masters> without_masters(const ffn_bank<float, A, Storage>& bank) {
    auto to = detail::bank_like<typename Storage::without_masters>(bank);
    detail::for_each_product([](const auto& w, auto& copy) { copy = w.packed(); }, bank, to);
    return to;
}

// The masters of a bank (of a float bank: its weights) in a storage that rounds them its own way, or in same_scalar.
template <class Storage, class A, class From>
ffn_bank<float, A, Storage> round_masters(const ffn_bank<float, A, From>& bank) {
    static_assert(Storage::trained && From::trained, "moe::round_masters: a bank without masters has none to share");
    auto to = detail::bank_like<Storage>(bank);
    const auto copy = [](const auto& w, auto& other) {
        matrix<float> m(w.outputs(), w.inputs());
        for (index_t e = 0; e < w.groups(); ++e) {
            w.read(e, m.view());
            other.assign(e, m.view());
        }
    };
    detail::for_each_product(copy, bank, to);
    return to;
}

MOE_END
