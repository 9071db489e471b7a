// backend/cpu: the threads of the caller in place of threads of one's own
// SPDX-License-Identifier: Apache-2.0
//
//     auto parallel_for = [&](moe::index_t n, moe::pool_task f) { ... };   // f(i) once for every i in [0,n)
//     moe::cpu cpu{moe::on_pool{8, parallel_for}};                         // work is cut for 8 threads
//     moe::cpu cpu{moe::on_pool{8, parallel_for, inside}};                 // bool inside()
//
// parallel_for may call on any of its threads, in any order, at the same time or one after the other, and returns when
// all calls have: tasks do not wait for one another, and results have the bits of a moe::cpu with threads of its own. It
// must not throw. Where inside() is true, all work stays on the calling thread and parallel_for is not called: give it
// where parallel_for would block or start more threads when called from one of its own tasks. Both are kept by
// reference and outlive the moe::cpu.
// memory        nothing is allocated
#pragma once

#include "moe/core/config.hpp"

MOE_BEGIN

// What a pool is asked to call; a copy is two pointers.
class pool_task {
public:
    void operator()(index_t i) const { call_(job_, i); }

private:
    friend class on_pool;
    void (*call_)(const void*, index_t) = nullptr;
    const void* job_ = nullptr;
};

class on_pool {
public:
    template <class ParallelFor>
    on_pool(index_t threads, ParallelFor& parallel_for) : on_pool(threads, parallel_for, nowhere_) {}
    template <class ParallelFor, class Inside>
    on_pool(index_t threads, ParallelFor& parallel_for, Inside& inside)
        : threads_(threads), pool_(&parallel_for), inside_of_(&inside) {
        run_ = [](const void* pool, index_t n, const pool_task& task) {
            (*const_cast<ParallelFor*>(static_cast<const ParallelFor*>(pool)))(n, task);
        };
        inside_ = [](const void* object) {
            return static_cast<bool>((*const_cast<Inside*>(static_cast<const Inside*>(object)))());
        };
    }

    index_t threads() const { return threads_; }
    bool inside() const { return inside_(inside_of_); }

    // job(worker) once for every worker in [0, threads())
    template <class Job>
    void run(const Job& job) const {
        pool_task task;
        task.job_ = &job;
        task.call_ = [](const void* j, index_t worker) { (*static_cast<const Job*>(j))(worker); };
        run_(pool_, threads_, task);
    }

private:
    static constexpr auto nowhere_ = [] { return false; };

    index_t threads_;
    const void* pool_;
    const void* inside_of_;
    void (*run_)(const void*, index_t, const pool_task&);
    bool (*inside_)(const void*);
};

MOE_END
