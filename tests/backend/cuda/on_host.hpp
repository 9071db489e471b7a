// A backend that runs the kernel bodies of backend/cuda on the host, over the whole grid, one thread after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backend/recording/memory.hpp"
#include "moe/backend/cuda/kernels.hpp"

namespace test {

// Threads run last to first, or first to last: kernels whose threads depend on each other's order would give other
// bits.
template <class Memory>
class cuda_on_host {
public:
    using tag = moe::cuda_tag;
    using memory = Memory;

    explicit cuda_on_host(bool backwards = false) : backwards_(backwards) {}

    moe::arena& scratch() { return scratch_; }

    template <class Body>
    void run(moe::index_t blocks, const Body& body) {
        static_assert(std::is_trivially_copyable_v<Body>, "a device copies the arguments of a kernel byte by byte");
        const recording::opened while_it_runs;
        const moe::index_t threads = moe::detail::threads_per_block;
        for (moe::index_t block = 0; block < blocks; ++block) {
            for (moe::index_t thread = 0; thread < threads; ++thread) {
                if (backwards_) body(blocks - 1 - block, threads - 1 - thread);
                else body(block, thread);
            }
        }
    }
    void copy_in(void* to, const void* from, std::size_t bytes) { Memory::copy_in(to, from, bytes); }
    void copy_out(void* to, const void* from, std::size_t bytes) { Memory::copy_out(to, from, bytes); }

private:
    moe::arena scratch_{moe::space_of<Memory>};
    bool backwards_;
};

}  // namespace test
