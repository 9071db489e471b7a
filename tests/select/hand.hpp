// tests/select: a selector on keys written by hand
#pragma once

#include <vector>

#include "moe/testing/selector_laws.hpp"
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

template <class Selector, class T = double>
moe::testing::chosen chosen_by(const Selector& selector, const std::vector<std::vector<T>>& keys, moe::batch<T> in = {}) {
    moe::reference backend;
    return moe::testing::choose(backend, selector, in, rows_of(keys));
}
