// Pools of a caller's, for moe::on_pool.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "moe/backend/cpu/on_pool.hpp"

namespace test {

using moe::index_t;

// Every task on a thread of its own, all at the same time. Knows whether the calling thread is one of them.
class threads_for_each_call {
public:
    void operator()(index_t n, moe::pool_task task) {
        ++calls;
        std::vector<std::thread> threads;
        for (index_t i = 0; i < n; ++i) {
            threads.emplace_back([this, task, i] {
                mine() = this;
                task(i);
                mine() = nullptr;
            });
        }
        for (std::thread& t : threads) t.join();
    }
    bool inside() const { return mine() == this; }

    std::atomic<int> calls{0};

private:
    static const threads_for_each_call*& mine() {
        static thread_local const threads_for_each_call* pool = nullptr;
        return pool;
    }
};

// One task after the other on the calling thread, the last first.
struct backwards {
    void operator()(index_t n, moe::pool_task task) const {
        for (index_t i = n - 1; i >= 0; --i) task(i);
    }
};

}  // namespace test
