// core/pages: memory of the host on pages of a chosen size, and weights whose pages a backend's threads touch first
// SPDX-License-Identifier: Apache-2.0
//
//     auto there = moe::copy_to(moe::space_of<moe::huge_pages>, layer);      // or small_pages
//     moe::first_touch(cpu, layer);                                          // in place
//
// huge_pages     2 MiB from the pool that the administrator reserved (vm.nr_hugepages) while it has any, else pages
//                that Linux is asked to make huge. Blocks below 2 MiB lie in host_memory
// small_pages    never huge, not even where the system makes them so unasked
// host_memory    core/storage: huge on demand from 4 MiB on; where every tensor starts
//
// first_touch takes every tensor to new pages, copied by the threads of the backend in pieces of 2 MiB, ascending as
// kernels read them. A system with several memories puts a page beside the processor that touches it first, so weights
// end up in all memories that the backend's threads are near to, neighbouring pieces mostly in different ones, instead
// of in that of the thread that made the layer. That is all: moe::cpu hands panels to whichever thread is free, so
// which thread reads a page is not fixed. Pin threads, or they move away from what they touched. Costs a copy, and the
// memory of the largest tensor on top. A copy of the model is touched by who copies.
//
// Elsewhere than on Linux all three are host_memory.
#pragma once

#include "moe/core/parameter.hpp"

MOE_BEGIN

namespace detail {

#if defined(__linux__) && defined(MAP_ANONYMOUS)

// Whole pages that nobody has touched, for blocks of at least a huge page.
template <class Kind>
struct fresh_pages : host_memory {
    static void* allocate(std::size_t bytes) {
        if (bytes < huge_page) return host_memory::allocate(bytes);
        void* p = Kind::map(whole(bytes));
        if (p == MAP_FAILED) throw std::bad_alloc();
        return p;
    }
    static void release(void* p, std::size_t bytes) noexcept {
        if (bytes < huge_page) host_memory::release(p, bytes);
        else ::munmap(p, whole(bytes));
    }

private:
    static std::size_t whole(std::size_t bytes) { return (bytes + huge_page - 1) / huge_page * huge_page; }
};

inline void* map_anonymous(std::size_t bytes, int flags) {
    return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

// From a huge page's boundary on; `advice` as madvise takes it.
inline void* map_advised(std::size_t bytes, int advice) {
    constexpr std::size_t page = host_memory::huge_page;
    void* p = map_anonymous(bytes + page, 0);
    if (p == MAP_FAILED) return p;
    char* const begin = static_cast<char*>(p);
    const std::size_t before = (page - reinterpret_cast<std::uintptr_t>(p) % page) % page;
    if (before != 0) ::munmap(begin, before);
    ::munmap(begin + before + bytes, page - before);
    (void)::madvise(begin + before, bytes, advice);
    return begin + before;
}

struct map_huge {
    static void* map(std::size_t bytes) {
#if defined(MAP_HUGETLB)
        constexpr int two_megabytes = 21 << 26;  // MAP_HUGE_2MB
        void* p = map_anonymous(bytes, MAP_HUGETLB | two_megabytes);
        if (p != MAP_FAILED) return p;
#endif
        return map_advised(bytes, MADV_HUGEPAGE);
    }
};
struct map_small {
    static void* map(std::size_t bytes) { return map_advised(bytes, MADV_NOHUGEPAGE); }
};

#endif

struct no_item {
    void operator()(index_t, index_t, index_t) const {}
};

// Copies in pieces of a huge page on the threads of a backend that shares work out; on this one elsewhere.
template <class B>
struct copy_in_pieces {
    B& backend;

    void operator()(void* to, const void* from, std::size_t bytes) const {
        constexpr std::size_t piece = host_memory::huge_page;
        if constexpr (requires { backend.parallel(index_t{}, 0.0, no_item{}); }) {
            const index_t items = static_cast<index_t>((bytes + piece - 1) / piece);
            backend.parallel(items, static_cast<double>(bytes), [=](index_t item, index_t, index_t) {
                const std::size_t begin = static_cast<std::size_t>(item) * piece;
                std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                            std::min(piece, bytes - begin));
            });
        } else {
            std::memcpy(to, from, bytes);
        }
    }
};

}  // namespace detail

#if defined(__linux__) && defined(MAP_ANONYMOUS)
struct huge_pages : detail::fresh_pages<detail::map_huge> {};
struct small_pages : detail::fresh_pages<detail::map_small> {};
#else
struct huge_pages : host_memory {};
struct small_pages : host_memory {};
#endif

// Takes the parameters and the state of a model to pages of `Memory`, huge_pages or small_pages. Tensors in memory that
// the host cannot read stay there. Throws for an any_layer, which does not hand out its tensors.
template <class Memory = huge_pages, class B, class Model>
void first_touch(B& backend, Model& model) {
    static_assert(B::memory::host_readable,
                  "moe::first_touch: the backend has memory of its own; moe::copy_to takes a model there");
    const auto touch = [&](const parameter_name& name, auto& tensor) {
        if constexpr (requires { tensor.ref; }) {
            throw_value(name.text(), "a tensor in reach; call first_touch before any_layer takes the layer", "a view");
        } else if constexpr (requires { tensor.renew(host_space, detail::copy_in_pieces<B>{backend}); }) {
            if (tensor.space().host_readable) {
                tensor.renew(space_of<Memory>, detail::copy_in_pieces<B>{backend});
            }
        }
    };
    visit_parameters(touch, model);
    visit_state(touch, model);
}

MOE_END
