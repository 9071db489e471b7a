// backend/cpu: a persistent team of threads that runs one job at a time
// SPDX-License-Identifier: Apache-2.0
//
// run(job) calls job(worker) once on every worker; worker 0 is the calling thread. Waiting threads spin for a while,
// because the next job of a layer usually follows at once and waking a sleeper costs more than many jobs, then sleep.
// More threads than cores is slow but correct. run allocates nothing; jobs must not throw and must not call run. One
// thread at a time calls run. Pinned workers stay on the processors that the thread which made the pool may use, the
// first of them left to it; where the system refuses, they are not pinned.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "moe/core/config.hpp"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

MOE_BEGIN

namespace detail {

// Waits until something that other threads change comes true: spins, then sleeps.
class spin_gate {
public:
    explicit spin_gate(std::chrono::microseconds spin) : spin_(spin) {}

    // Call after the change, which must be sequentially consistent, as must be what `ready` reads: then either the
    // sleeper's last look sees the change, or this sees the sleeper.
    void changed() {
        if (sleepers_.load() == 0) return;
        { const std::lock_guard<std::mutex> lock(mutex_); }
        condition_.notify_all();
    }

    template <class Ready>
    void wait(const Ready& ready) {
        if (ready()) return;
        const auto end = std::chrono::steady_clock::now() + spin_;
        while (std::chrono::steady_clock::now() < end) {
            for (int i = 0; i < spins_between_looks; ++i) {
                pause();
                if (ready()) return;
            }
            std::this_thread::yield();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        condition_.wait(lock, ready);
        sleepers_.fetch_sub(1);
    }

private:
    static constexpr int spins_between_looks = 32;  // at the clock

    static void pause() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ __volatile__("yield");
#endif
    }

    std::chrono::microseconds spin_;
    std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable condition_;
};

// Keeps a thread on the processor number `place` of those that the calling thread may use, counted round and round.
inline void pin_thread([[maybe_unused]] std::thread& thread, [[maybe_unused]] index_t place) {
#if defined(__linux__)
    cpu_set_t mine, one;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0 || CPU_COUNT(&mine) == 0) return;
    index_t left = place % CPU_COUNT(&mine);
    std::size_t processor = 0;
    while (!CPU_ISSET(processor, &mine) || left-- > 0) ++processor;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    (void)pthread_setaffinity_np(thread.native_handle(), sizeof one, &one);
#endif
}

class thread_pool {
public:
    thread_pool(index_t workers, std::chrono::microseconds spin, bool pin) : begun_(spin), done_(spin) {
        try {
            for (index_t w = 1; w < workers; ++w) {
                threads_.emplace_back([this, w] { work(w); });
                if (pin) pin_thread(threads_.back(), w);
            }
        } catch (...) {
            stop();
            throw;
        }
    }
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;
    ~thread_pool() { stop(); }

    index_t workers() const { return static_cast<index_t>(threads_.size()) + 1; }

    template <class Job>
    void run(const Job& job) {
        job_ = &job;
        call_ = [](const void* j, index_t worker) { (*static_cast<const Job*>(j))(worker); };
        start_all();
        job(index_t{0});
        done_.wait([this] { return running_.load() == 0; });
    }

private:
    using call_type = void (*)(const void*, index_t);

    // Every worker answers every epoch, so nothing of a job is read after run has returned.
    void start_all() {
        running_.store(static_cast<int>(threads_.size()));
        epoch_.fetch_add(1);
        begun_.changed();
    }

    void work(index_t worker) {
        unsigned seen = 0;
        for (;;) {
            begun_.wait([&] { return epoch_.load() != seen; });
            ++seen;
            if (call_ == nullptr) return;
            call_(job_, worker);
            if (running_.fetch_sub(1) == 1) done_.changed();
        }
    }

    void stop() {
        call_ = nullptr;
        start_all();
        for (std::thread& t : threads_) t.join();
    }

    std::vector<std::thread> threads_;
    const void* job_ = nullptr;
    call_type call_ = nullptr;
    std::atomic<unsigned> epoch_{0};
    std::atomic<int> running_{0};
    spin_gate begun_;
    spin_gate done_;
};

}  // namespace detail

MOE_END
