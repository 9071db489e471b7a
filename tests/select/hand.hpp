// tests/select: a selector on keys written by hand
#pragma once

#include <vector>

#include "moe/testing/choose.hpp"
#include "moe/testing/generators.hpp"
#include "moe/testing/random.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"

using ids = std::vector<moe::index_t>;

// A matrix from rows of equal length.
template <class T>
moe::matrix<T> rows_of(const std::vector<std::vector<T>>& rows) {
    moe::matrix<T> m(static_cast<moe::index_t>(rows.size()), rows.empty() ? 0 : static_cast<moe::index_t>(rows[0].size()));
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy(rows[i].begin(), rows[i].end(), &m(moe::index_t(i), 0));
    return m;
}

// Generated keys in the scalar of the test.
template <class T>
moe::matrix<T> keys_of(moe::testing::score_kind kind, moe::index_t tokens, moe::index_t experts) {
    const moe::testing::table keys = moe::testing::scores_of(kind, tokens, experts, 11);
    moe::matrix<T> m(tokens, experts);
    std::transform(keys.values.begin(), keys.values.end(), m.data(), [](double v) { return static_cast<T>(v); });
    return m;
}

template <class Selector, class T = double>
moe::testing::chosen chosen_by(const Selector& selector, const std::vector<std::vector<T>>& keys, moe::batch<T> in = {}) {
    moe::reference backend;
    return moe::testing::choose(backend, selector, in, rows_of(keys));
}
