// Inputs and guarded outputs for the tests of backends.
#pragma once

#include <cstring>
#include <limits>
#include <vector>

#include "moe/backend/cpu.hpp"
#include "moe/core/rng.hpp"
#include "moe/experts/activation.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace test {

using moe::index_t;

// A matrix whose rows stand apart and start at odd addresses, in a block of exactly the size it needs. What lies
// between the rows, and every element until it is written, holds one bit pattern.
template <class T>
class guarded {
public:
    guarded(index_t rows, index_t cols, index_t gap = 3)
        : rows_(rows),
          cols_(cols),
          stride_(cols + gap),
          memory_(1 + std::size_t(rows) * std::size_t(stride_) - (rows > 0 ? std::size_t(gap) : 0)) {
        std::memset(memory_.data(), 0xA5, memory_.size() * sizeof(T));
    }

    moe::matrix_view<T> view() { return {memory_.data() + 1, rows_, cols_, stride_}; }
    moe::matrix_view<const T> view() const { return {memory_.data() + 1, rows_, cols_, stride_}; }
    T& operator()(index_t i, index_t j) { return view()(i, j); }
    const T& operator()(index_t i, index_t j) const { return view()(i, j); }

    // No element outside of rows [first, last) was written, none within kept the pattern.
    bool only_rows_written(index_t first, index_t last) const {
        for (std::size_t i = 0; i < memory_.size(); ++i) {
            const index_t row = i == 0 ? -1 : static_cast<index_t>((i - 1) / std::size_t(stride_));
            const bool inside = i > 0 && row >= first && row < last && index_t((i - 1) % std::size_t(stride_)) < cols_;
            if (untouched(memory_[i]) == inside) return false;
        }
        return true;
    }

private:
    static bool untouched(const T& value) {
        T pattern;
        std::memset(&pattern, 0xA5, sizeof(T));
        return std::memcmp(&value, &pattern, sizeof(T)) == 0;
    }

    index_t rows_, cols_, stride_;
    std::vector<T> memory_;
};

template <class T>
void randomize(moe::matrix_view<T> m, std::uint64_t seed) {
    const moe::random_stream random(seed, moe::stream_id("tests.backend"));
    for (index_t i = 0; i < m.rows; ++i) {
        for (index_t j = 0; j < m.cols; ++j)
            m(i, j) = static_cast<T>(random.normal(std::uint64_t(i), std::uint32_t(j)));
    }
}

template <class T>
guarded<T> random_rows(index_t rows, index_t cols, std::uint64_t seed) {
    guarded<T> m(rows, cols);
    randomize(m.view(), seed);
    return m;
}

template <class T>
moe::panels<T> random_weights(index_t groups, index_t outputs, index_t inputs, std::uint64_t seed) {
    moe::panels<T> w(groups, outputs, inputs);
    moe::matrix<T> one(outputs, inputs);
    for (index_t g = 0; g < groups; ++g) {
        randomize(one.view(), seed + 1000 * std::uint64_t(g));
        w.assign(g, one.view());
    }
    return w;
}

// Groups of the given sizes, the first row at `first`; gathered rows repeat and are not in order.
struct grouping {
    std::vector<index_t> offset;
    std::vector<index_t> gather;
    index_t tokens = 11;

    explicit grouping(const std::vector<index_t>& sizes, index_t first = 0) : offset{first} {
        for (const index_t s : sizes) offset.push_back(offset.back() + s);
        for (index_t r = 0; r < offset.back(); ++r) gather.push_back((7 * r + 3) % tokens);
    }

    index_t groups() const { return static_cast<index_t>(offset.size()) - 1; }
    index_t first() const { return offset.front(); }
    index_t last() const { return offset.back(); }
    moe::row_groups by_token() const { return {offset, gather}; }
    moe::row_groups by_row() const { return {offset, {}}; }
};

inline const std::vector<index_t>& every_size() {
    static const std::vector<index_t> sizes{0, 1, 2, 5, 0, 6, 7, 13, 3, 150};
    return sizes;
}

struct shape {
    index_t outputs, inputs;
};

// Neither multiples of vectors nor of panels, below and above the depth at which sums are cut, and the round ones.
inline const std::vector<shape>& every_shape() {
    static const std::vector<shape> shapes{{1, 1},    {3, 5},    {16, 64},  {33, 31},   {63, 17},
                                           {64, 256}, {65, 257}, {130, 70}, {300, 130}, {7, 530}};
    return shapes;
}

template <class T>
bool same_bits(moe::matrix_view<const T> a, moe::matrix_view<const T> b) {
    if (a.rows != b.rows || a.cols != b.cols) return false;
    for (index_t i = 0; i < a.rows; ++i) {
        if (std::memcmp(a.row(i), b.row(i), std::size_t(a.cols) * sizeof(T)) != 0) return false;
    }
    return true;
}

template <class T>
bool same_bits(const guarded<T>& a, const guarded<T>& b) {
    return same_bits<T>(a.view(), b.view());
}

template <class T>
bool same_bits(const moe::panels<T>& a, const moe::panels<T>& b) {
    return a.span().size() == b.span().size() &&
           std::memcmp(a.span().data(), b.span().data(), a.span().size_bytes()) == 0;
}

template <class T>
moe::matrix_view<const T> as_rows(const moe::panels<T>& w) {
    const index_t width = moe::panels<T>::width;
    return {w.span().data(), static_cast<index_t>(w.span().size()) / width, width};
}

// A backend whose scratch holds NaN patterns before every use.
inline void poison(moe::arena& scratch) { scratch.poison(0xFF); }

// Threads: one, two, more than this machine may have.
inline const std::vector<index_t>& thread_counts() {
    static const std::vector<index_t> counts{1, 2, 3, 8};
    return counts;
}

inline moe::cpu make_cpu(index_t threads) {
    moe::cpu_options options;
    options.threads = threads;
    return moe::cpu(options);
}

using on_reference = moe::kernels_of<moe::reference>;
using on_cpu = moe::kernels_of<moe::cpu>;

}  // namespace test
