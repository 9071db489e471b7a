// tests/testing: what the lists of parts share
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>

#include "moe/moe.hpp"
#include "moe/testing/laws.hpp"
#include "support/catch.hpp"

using moe::testing::law_options;
using moe::testing::laws;
using moe::testing::no_violations;
using moe::testing::side_kind;

template <class T>
moe::matrix<T> rows_of(std::initializer_list<std::initializer_list<T>> rows) {
    moe::matrix<T> m(moe::index_t(rows.size()), moe::index_t(rows.begin()->size()));
    moe::index_t i = 0;
    for (const auto& row : rows) std::copy(row.begin(), row.end(), &m(i++, 0));
    return m;
}
inline moe::matrix<std::uint8_t> flags(std::initializer_list<std::initializer_list<std::uint8_t>> rows) {
    return rows_of<std::uint8_t>(rows);
}

// No parameter stays at its first value, where a gradient might not matter and experts might be alike.
template <class Part>
Part learned(Part part) {
    std::uint64_t seed = 0;
    moe::visit_parameters(
        [&](const moe::parameter_name&, auto& tensor) {
            const moe::random_stream random(++seed, moe::stream_id("tests.learned"));
            const auto values = moe::flat(tensor);
            using T = std::remove_reference_t<decltype(values[0])>;
            for (std::size_t i = 0; i < values.size(); ++i) values[i] = T(0.25) + T(0.5) * T(random.normal(i, 0));
        },
        part);
    return part;
}

inline auto small_router() {
    return moe::router{moe::linear_gate<double>{{.features = 3, .experts = 3, .seed = 5}}, moe::softmax{},
                       moe::top_k{.k = 2}, moe::renormalize{}};
}
