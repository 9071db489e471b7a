// core/arena: memory that is taken piece by piece and given back all at once
// SPDX-License-Identifier: Apache-2.0
//
// An arena keeps its chunks: the same sequence of takes allocates nothing the second time. Taken memory is not
// initialised. A frame gives back what was taken since it was opened. One thread uses an arena at a time.
#pragma once

#include <vector>

#include "moe/core/storage.hpp"

MOE_BEGIN

class arena {
public:
    struct mark {
        std::size_t chunk = 0;
        std::size_t used = 0;
    };

    arena() = default;
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;
    arena(arena&&) noexcept = default;
    arena& operator=(arena&&) noexcept = default;

    template <class T>
    std::span<T> take(std::size_t count) {
        static_assert(std::is_trivially_destructible_v<T>, "moe::arena: nothing taken from an arena is destroyed");
        if (count > static_cast<std::size_t>(-1) / (2 * sizeof(T))) throw std::bad_alloc();
        return {static_cast<T*>(take_bytes(count * sizeof(T))), count};
    }

    // Rows start at multiples of 64 bytes.
    template <class T>
    matrix_view<T> take(index_t rows, index_t cols) {
        constexpr std::size_t step = storage_alignment / sizeof(T);
        const std::size_t stride = (static_cast<std::size_t>(cols) + step - 1) / step * step;
        return {take<T>(static_cast<std::size_t>(rows) * stride).data(), rows, cols, std::ptrdiff_t(stride)};
    }

    template <class T>
    T* create(const T& value) {
        return ::new (static_cast<void*>(take<T>(1).data())) T(value);
    }

    mark position() const { return here_; }
    void release(mark m) { here_ = m; }
    void reset() { here_ = {}; }

    std::size_t capacity() const {
        std::size_t total = 0;
        for (const auto& c : chunks_) total += c.size();
        return total;
    }

    // Overwrites everything that is not taken: tests use it to show that nothing reads memory it did not write.
    void poison(unsigned char byte) {
        for (std::size_t c = here_.chunk; c < chunks_.size(); ++c) {
            const std::size_t from = c == here_.chunk ? here_.used : 0;
            std::memset(chunks_[c].data() + from, byte, chunks_[c].size() - from);
        }
    }

private:
    static constexpr std::size_t smallest_chunk = std::size_t{1} << 16;

    void* take_bytes(std::size_t bytes) {
        const std::size_t size = (bytes + storage_alignment - 1) / storage_alignment * storage_alignment;
        while (here_.chunk < chunks_.size() && chunks_[here_.chunk].size() - here_.used < size) {
            ++here_.chunk;
            here_.used = 0;
        }
        if (here_.chunk == chunks_.size()) grow(size);
        void* p = chunks_[here_.chunk].data() + here_.used;
        here_.used += size;
        return p;
    }

    void grow(std::size_t size) {
        const std::size_t doubled = std::max(smallest_chunk, capacity());
        chunks_.emplace_back(std::max(size, doubled));
    }

    std::vector<buffer<unsigned char>> chunks_;
    mark here_;
};

// Gives back at the end of a scope what the scope took.
class arena_frame {
public:
    explicit arena_frame(arena& a) : arena_(a), mark_(a.position()) {}
    arena_frame(const arena_frame&) = delete;
    arena_frame& operator=(const arena_frame&) = delete;
    ~arena_frame() { arena_.release(mark_); }

private:
    arena& arena_;
    arena::mark mark_;
};

MOE_END
