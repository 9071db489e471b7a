// examples/custom_router: the same selector with a fault that looks harmless
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "near_best.hpp"

// Stops as soon as k experts are near the best, in the order of their numbers: a better one further on is left out.
struct hasty_near_best : near_best {
    static constexpr const char* name = "hasty_near_best";

    template <class B, class T>
    void forward(B& b, const moe::routing<T>& s, moe::choice c) const {
        const auto keys = s.keys;
        const auto slots = static_cast<moe::index_t>(width(s.in(), s.experts));
        const auto apart = static_cast<T>(margin);
        moe::kernels_of<B>::for_rows(b, s.tokens(), [=] MOE_ROW(moe::index_t t) {
            moe::index_t* expert = c.expert.data() + std::ptrdiff_t(t) * slots;
            moe::index_t best = -1;
            moe::best_of_row(keys.row(t), keys.cols, &best, 1);
            moe::index_t found = 0;
            for (moe::index_t e = 0; e < keys.cols && found < slots; ++e) {
                if (moe::excluded(keys(t, e))) continue;
                if (e == best || keys(t, e) >= keys(t, best) - apart) expert[found++] = e;
            }
            for (; found < slots; ++found) expert[found] = -1;
        });
    }
};
