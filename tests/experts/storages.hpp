// tests/experts: layers whose banks keep their weights in one storage or another
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "experts/around.hpp"
#include "moe/experts/ffn_bank.hpp"

namespace storages {

using moe::index_t;
template <class Storage>
using bank_of = moe::ffn_bank<float, moe::gated<moe::silu>, Storage>;

inline constexpr moe::bank_options options{.features = 21, .hidden = 70, .experts = 4,
                                           .bias = true,   .seed = 3,    .outputs = 9};

template <class Bank, class... More>
auto around(Bank bank, const More&... more) {
    auto router = small_router<float>(bank.features(), bank.experts());
    return moe::layer{router, std::move(bank), more...};
}

template <class Storage>
auto make_layer() {
    return around(bank_of<Storage>{options});
}

inline moe::batch<float> of(const moe::matrix<float>& x) {
    moe::batch<float> in;
    in.x = x;
    return in;
}

// Gives a bank the decoded weights of another.
template <class From, class To>
void decode_into(const bank_of<From>& from, bank_of<To>& to) {
    const auto one = [](const auto& w, auto& copy) {
        moe::matrix<float> m(w.outputs(), w.inputs());
        for (index_t g = 0; g < w.groups(); ++g) {
            w.packed().read(g, m.view());
            copy.assign(g, m.view());
        }
    };
    one(from.gate, to.gate);
    one(from.up, to.up);
    one(from.down, to.down);
}

// The packed weights are the masters rounded, and there are some that rounding changed.
template <class Storage>
void check_packed(const bank_of<Storage>& bank) {
    using E = typename std::remove_cvref_t<decltype(bank.up.packed())>::value_type;
    index_t rounded = 0;
    for (const auto* w : {&bank.gate, &bank.up, &bank.down}) {
        for (index_t g = 0; g < w->groups(); ++g) {
            for (index_t n = 0; n < w->outputs(); ++n) {
                for (index_t k = 0; k < w->inputs(); ++k) {
                    const float master = (*w)(g, n, k);
                    const float packed = w->packed()(g, n, k);
                    if (packed != float(E(master))) FAIL("packed " << packed << ", master " << master);
                    rounded += packed != master;
                }
            }
        }
    }
    CHECK(rounded > 100);
}

}  // namespace storages
