// core/arena: memory that is taken piece by piece and given back all at once
// SPDX-License-Identifier: Apache-2.0
//
// An arena keeps its chunks: the same sequence of takes allocates nothing the second time. Taken memory is not
// initialised. A frame gives back what was taken since it was opened. One thread uses an arena at a time.
// capacity() is what the chunks hold, peak() the most that was taken at a time, pieces rounded up to 64 bytes.
// Elements that kernels see come from the arena's memory space; what only the host sees (records, a plan's offsets)
// from host memory, which is the same where the host reads the space.
#pragma once

#include <vector>

#include "moe/core/storage.hpp"

MOE_BEGIN

class arena {
public:
    struct mark {
        std::size_t chunk = 0;
        std::size_t used = 0;
        std::size_t taken = 0;
        std::size_t host_chunk = 0;
        std::size_t host_used = 0;
        std::size_t host_taken = 0;
    };

    explicit arena(const memory_space& space = host_space) : elements_{&space} {}
    arena(const arena&) = delete;
    arena& operator=(const arena&) = delete;
    arena(arena&&) noexcept = default;
    arena& operator=(arena&&) noexcept = default;

    const memory_space& space() const { return *elements_.space; }

    // Gives everything back and continues in this space.
    void restart(const memory_space& space) {
        reset();
        if (elements_.space != &space) elements_ = {&space};
    }

    template <class T>
    std::span<T> take(std::size_t count) {
        static_assert(std::is_trivially_destructible_v<T>, "moe::arena: nothing taken from an arena is destroyed");
        if (count > static_cast<std::size_t>(-1) / (2 * sizeof(T))) throw std::bad_alloc();
        return {static_cast<T*>(elements_.take(count * sizeof(T))), count};
    }

    // Memory that the host reads and writes, whatever the space.
    template <class T>
    std::span<T> take_on_host(std::size_t count) {
        static_assert(std::is_trivially_destructible_v<T>, "moe::arena: nothing taken from an arena is destroyed");
        if (space().host_readable) return take<T>(count);
        if (count > static_cast<std::size_t>(-1) / (2 * sizeof(T))) throw std::bad_alloc();
        return {static_cast<T*>(on_host_.take(count * sizeof(T))), count};
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
        return ::new (static_cast<void*>(take_on_host<T>(1).data())) T(value);
    }

    mark position() const {
        return {elements_.chunk, elements_.used, elements_.taken, on_host_.chunk, on_host_.used, on_host_.taken};
    }
    void release(mark m) {
        elements_.release(m.chunk, m.used, m.taken);
        on_host_.release(m.host_chunk, m.host_used, m.host_taken);
    }
    void reset() { release({}); }

    std::size_t capacity() const { return elements_.capacity() + on_host_.capacity(); }
    std::size_t peak() const { return elements_.peak + on_host_.peak; }

    // Overwrites everything that is not taken: tests use it to show that nothing reads memory it did not write.
    void poison(unsigned char byte) {
        elements_.poison(byte);
        on_host_.poison(byte);
    }

private:
    static constexpr std::size_t smallest_chunk = std::size_t{1} << 16;

    struct stack {
        const memory_space* space;
        std::vector<buffer<unsigned char>> chunks{};
        std::size_t chunk = 0;  // the one that is taken from
        std::size_t used = 0;   // bytes of it
        std::size_t taken = 0;  // bytes of all chunks, without what stayed empty at the end of one
        std::size_t peak = 0;   // the largest `taken` so far

        void* take(std::size_t bytes) {
            const std::size_t size = (bytes + storage_alignment - 1) / storage_alignment * storage_alignment;
            while (chunk < chunks.size() && chunks[chunk].size() - used < size) {
                ++chunk;
                used = 0;
            }
            if (chunk == chunks.size()) {
                chunks.emplace_back(std::max({size, smallest_chunk, capacity()}), *space);
            }
            void* p = chunks[chunk].data() + used;
            used += size;
            taken += size;
            peak = std::max(peak, taken);
            return p;
        }

        void release(std::size_t to_chunk, std::size_t to_used, std::size_t to_taken) {
            chunk = to_chunk;
            used = to_used;
            taken = to_taken;
        }

        std::size_t capacity() const {
            std::size_t total = 0;
            for (const auto& c : chunks) total += c.size();
            return total;
        }

        void poison(unsigned char byte) {
            for (std::size_t c = chunk; c < chunks.size(); ++c) {
                const std::size_t from = c == chunk ? used : 0;
                space->fill(chunks[c].data() + from, byte, chunks[c].size() - from);
            }
        }
    };

    stack elements_;
    stack on_host_{&host_space};
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
