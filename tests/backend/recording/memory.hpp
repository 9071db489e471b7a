// Memory that only its owner touches: one mapping that is closed to reads and writes while no verb runs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace recording {

// The mapping, reserved once. Pieces are handed out one behind the other; it starts over when none is left in use.
class region {
public:
    static constexpr std::size_t size = std::size_t{1} << 28;

    static region& get() {
        static region only;
        return only;
    }

    void* take(std::size_t bytes) {
        const std::size_t rounded = (bytes + 63) / 64 * 64;
        if (rounded > size - used_) throw std::bad_alloc();
        ++pieces_;
        void* p = start_ + std::exchange(used_, used_ + rounded);
        if (depth_ > 0) protect(PROT_READ | PROT_WRITE);
        return p;
    }
    void give_back() {
        if (--pieces_ == 0) used_ = 0;
    }

    bool holds(const void* p) const {
        const auto at = reinterpret_cast<std::uintptr_t>(p);
        const auto from = reinterpret_cast<std::uintptr_t>(start_);
        return at >= from && at < from + size;
    }

    // Nested calls open once.
    void open() {
        if (depth_++ == 0) protect(PROT_READ | PROT_WRITE);
    }
    void close() {
        if (--depth_ == 0) protect(PROT_NONE);
    }

private:
    region() {
        void* p = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) throw std::bad_alloc();
        start_ = static_cast<unsigned char*>(p);
    }
    void protect(int how) {
        if (used_ == 0) return;  // qemu-user takes a length of 0 for an error
        constexpr std::size_t page = std::size_t{1} << 16;
        if (::mprotect(start_, (used_ + page - 1) / page * page, how) != 0) throw std::bad_alloc();
    }

    unsigned char* start_ = nullptr;
    std::size_t used_ = 0;
    std::size_t pieces_ = 0;
    int depth_ = 0;
};

class opened {
public:
    opened() { region::get().open(); }
    opened(const opened&) = delete;
    opened& operator=(const opened&) = delete;
    ~opened() { region::get().close(); }
};

// The memory space of the backend, as core/storage.hpp asks for it.
struct closed_memory {
    static constexpr bool host_readable = false;

    static void* allocate(std::size_t bytes) { return region::get().take(bytes); }
    static void release(void*, std::size_t) noexcept { region::get().give_back(); }
    static void fill(void* p, unsigned char byte, std::size_t bytes) {
        const opened memory;
        std::memset(p, byte, bytes);
    }
    static void copy(void* to, const void* from, std::size_t bytes) {
        const opened memory;
        std::memcpy(to, from, bytes);
    }
    static void copy_in(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }
    static void copy_out(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }
};

#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define RECORDING_CLEARS_PADDING
#endif
#endif

// Whether a value of plain data carries an address of the host's memory: a device that copied it would fault on it.
// What stands between the members by chance does not count; compilers that cannot tell it apart find nothing.
class host_addresses {
public:
#ifdef RECORDING_CLEARS_PADDING
    static constexpr bool are_found = true;
#else
    static constexpr bool are_found = false;
#endif

    host_addresses() {
        std::FILE* maps = std::fopen("/proc/self/maps", "r");
        if (maps == nullptr) return;
        char line[512];
        while (std::fgets(line, sizeof line, maps) != nullptr) {
            unsigned long long first = 0, last = 0;
            if (std::sscanf(line, "%llx-%llx", &first, &last) == 2) ranges_.emplace_back(first, last);
        }
        std::fclose(maps);
    }

    template <class P>
    bool in([[maybe_unused]] P value) const {
        constexpr std::size_t words = sizeof(P) / sizeof(std::uintptr_t);
        std::uintptr_t word[words + 1] = {};
#ifdef RECORDING_CLEARS_PADDING
        __builtin_clear_padding(&value);
        std::memcpy(word, &value, words * sizeof(std::uintptr_t));
#endif
        for (std::size_t i = 0; i < words; ++i) {
            if (!region::get().holds(reinterpret_cast<const void*>(word[i])) && mapped(word[i])) return true;
        }
        return false;
    }

private:
    bool mapped(std::uintptr_t p) const {
        for (const auto& [first, last] : ranges_) {
            if (p >= first && p < last) return true;
        }
        return false;
    }

    std::vector<std::pair<unsigned long long, unsigned long long>> ranges_;
};

}  // namespace recording
