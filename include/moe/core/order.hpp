// core/order: the one order in which everything is chosen
// SPDX-License-Identifier: Apache-2.0
//
// Key descending, then index ascending. A key of -inf is excluded: never chosen, even if fewer than k remain. A NaN ranks
// after every finite key and may be chosen. A strict order on the others for any bit pattern, so ids are always distinct.
#pragma once

#include <limits>

#include "moe/core/view.hpp"

MOE_BEGIN

template <class T>
MOE_FN bool excluded(T key) {
    return key == -std::numeric_limits<T>::infinity();
}

// Whether (key a, index i) comes before (key b, index j).
template <class T>
MOE_FN bool ranks_before(T a, index_t i, T b, index_t j) {
    const bool a_nan = a != a;
    const bool b_nan = b != b;
    if (a_nan != b_nan) return b_nan;
    if (!a_nan && a != b) return a > b;
    return i < j;
}

// The best k of n keys, in order, into expert[0..k); -1 behind the last that may be chosen. O(n k) at worst.
template <class T>
MOE_FN void best_of_row(const T* key, index_t n, index_t* expert, index_t k) {
    index_t found = 0;
    T worst = std::numeric_limits<T>::infinity();  // of k that are found
    for (index_t e = 0; e < n; ++e) {
        // Nearly all keys, once there are k: an equal key has the higher index. Not true beside a NaN.
        if (found == k && key[e] <= worst) continue;
        if (excluded(key[e])) continue;
        if (found == k && !(k > 0 && ranks_before(key[e], e, key[expert[k - 1]], expert[k - 1]))) continue;
        index_t place = found < k ? found++ : k - 1;
        for (; place > 0 && ranks_before(key[e], e, key[expert[place - 1]], expert[place - 1]); --place) {
            expert[place] = expert[place - 1];
        }
        expert[place] = e;
        if (found == k) worst = key[expert[k - 1]];
    }
    for (; found < k; ++found) expert[found] = -1;
}

// The best of n keys that ranks after expert `last` (-1: the best of all); -1 if there is none. O(n), no memory.
template <class T>
MOE_FN index_t next_best_of_row(const T* key, index_t n, index_t last) {
    index_t best = -1;
    for (index_t e = 0; e < n; ++e) {
        if (excluded(key[e])) continue;
        if (last >= 0 && !ranks_before(key[last], last, key[e], e)) continue;
        if (best < 0 || ranks_before(key[e], e, key[best], best)) best = e;
    }
    return best;
}

MOE_END
