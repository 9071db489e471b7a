// backend/cpu: a persistent team of threads that runs one job at a time
// SPDX-License-Identifier: Apache-2.0
//
// run(job) calls job(worker) once on every worker; worker 0 is the calling thread. Waiting threads spin for some tens
// of microseconds, because the next job of a layer usually follows at once and waking a sleeper costs more than many
// jobs, then sleep. More threads than cores is slow but correct. run allocates nothing; jobs must not throw and must
// not call run. One thread at a time calls run.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "moe/core/config.hpp"

MOE_BEGIN

namespace detail {

// Waits until something that other threads change comes true: spins, then sleeps.
class spin_gate {
public:
    // Call after the change, which must be sequentially consistent, as must be what `ready` reads: then either the
    // sleeper's last look sees the change, or this sees the sleeper.
    void changed() {
        if (sleepers_.load() == 0) return;
        { const std::lock_guard<std::mutex> lock(mutex_); }
        condition_.notify_all();
    }

    template <class Ready>
    void wait(const Ready& ready) {
        for (int i = 0; i < spins; ++i) {
            if (ready()) return;
            pause();
            if (i % spins_between_yields == 0) std::this_thread::yield();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        condition_.wait(lock, ready);
        sleepers_.fetch_sub(1);
    }

private:
    static constexpr int spins = 4096;
    static constexpr int spins_between_yields = 64;

    static void pause() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ __volatile__("yield");
#endif
    }

    std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable condition_;
};

class thread_pool {
public:
    explicit thread_pool(index_t workers) {
        try {
            for (index_t w = 1; w < workers; ++w) threads_.emplace_back([this, w] { work(w); });
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
