#include <atomic>
#include <chrono>
#include <thread>

#include "backend/problem.hpp"

using namespace test;

TEST_CASE("a cpu wants at least one thread") {
    CHECK(moe::cpu().threads() == 1);
    CHECK(make_cpu(5).threads() == 5);
    CHECK_THROWS_AS(make_cpu(0), moe::value_error);
    try {
        make_cpu(-3);
        FAIL("no error");
    } catch (const moe::value_error& e) {
        CHECK(std::string(e.what()) == "moe: cpu threads: wanted at least 1, got -3");
    }
}

TEST_CASE("parallel hands out every item once, with a worker of its own and the item that follows") {
    for (const index_t threads : thread_counts()) {
        moe::cpu cpu = make_cpu(threads);
        for (const index_t items : {0, 1, 2, 7, 1000}) {
            INFO("threads " << threads << ", items " << items);
            std::vector<std::atomic<int>> calls(static_cast<std::size_t>(items));
            std::vector<index_t> expected_next(static_cast<std::size_t>(threads), -1);
            std::atomic<bool> right{true};
            cpu.parallel(items, 1e9, [&](index_t item, index_t next, index_t worker) {
                if (worker < 0 || worker >= threads || next <= item) {
                    right = false;
                    return;
                }
                ++calls[std::size_t(item)];
                index_t& expected = expected_next[std::size_t(worker)];  // no other thread has this worker's number
                if (expected != -1 && expected != item) right = false;
                expected = next;
            });
            for (const auto& c : calls) CHECK(c == 1);
            CHECK(right);
        }
    }
}

TEST_CASE("little work stays on the calling thread") {
    moe::cpu cpu = make_cpu(4);
    std::atomic<bool> elsewhere{false};
    const auto caller = std::this_thread::get_id();
    cpu.parallel(50, 100.0, [&](index_t, index_t, index_t) {
        if (std::this_thread::get_id() != caller) elsewhere = true;
    });
    CHECK(!elsewhere);
}

TEST_CASE("thousands of short jobs in a row, and jobs after the threads went to sleep, all finish") {
    moe::cpu cpu = make_cpu(8);
    std::atomic<long> sum{0};
    for (int job = 0; job < 2000; ++job) {
        cpu.parallel(16, 1e9, [&](index_t item, index_t, index_t) { sum.fetch_add(item, std::memory_order_relaxed); });
    }
    CHECK(sum == 2000L * 120);
    for (int job = 0; job < 5; ++job) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        cpu.parallel(16, 1e9, [&](index_t item, index_t, index_t) { sum.fetch_add(item, std::memory_order_relaxed); });
    }
    CHECK(sum == 2005L * 120);
}

TEST_CASE("jobs finish whether waiting threads spin for long or sleep at once") {
    for (const index_t spin : {0, 1, 20000}) {
        INFO("spin " << spin);
        moe::cpu cpu{{.threads = 3, .spin_microseconds = spin}};
        std::atomic<int> count{0};
        for (int job = 0; job < 50; ++job) {
            cpu.parallel(8, 1e9, [&](index_t, index_t, index_t) { ++count; });
        }
        CHECK(count == 400);
    }
    CHECK_THROWS_AS(moe::cpu(moe::cpu_options{.spin_microseconds = -1}), moe::value_error);
}

#if defined(__linux__)
TEST_CASE("pinned threads stay on one processor each, the caller's where it was") {
    const auto processors = [] {
        cpu_set_t mine;
        return sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : 0;
    };
    const auto caller = std::this_thread::get_id();
    const int before = processors();
    for (const bool pin : {false, true}) {
        INFO("pin " << pin);
        moe::cpu cpu{{.threads = 3, .pin = pin}};
        std::atomic<int> mine{0}, elsewhere{0}, wrong{0};
        // A thread holds two items, that which it works on and the next: each waits until all threads have theirs.
        cpu.parallel(6, 1e9, [&](index_t, index_t, index_t) {
            const bool here = std::this_thread::get_id() == caller;
            ++(here ? mine : elsewhere);
            while (mine + elsewhere < 3) std::this_thread::yield();
            if (processors() != (here || !pin ? before : 1)) ++wrong;
        });
        CHECK(mine == 2);
        CHECK(elsewhere == 4);
        CHECK(wrong == 0);
    }
}
#endif

TEST_CASE("for_rows calls the program once for every row") {
    for (const index_t threads : thread_counts()) {
        moe::cpu cpu = make_cpu(threads);
        for (const index_t n : {0, 1, 5, 63, 5000}) {
            std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n));
            on_cpu::for_rows(cpu, n, [&](index_t i) { ++calls[std::size_t(i)]; });
            for (const auto& c : calls) REQUIRE(c == 1);
        }
    }
}

TEST_CASE("several cpus work side by side") {
    std::vector<std::thread> users;
    std::atomic<int> right{0};
    for (int u = 0; u < 3; ++u) {
        users.emplace_back([&] {
            moe::cpu cpu = make_cpu(2);
            for (int i = 0; i < 50; ++i) {
                std::atomic<int> count{0};
                cpu.parallel(20, 1e9, [&](index_t, index_t, index_t) { ++count; });
                if (count == 20) ++right;
            }
        });
    }
    for (std::thread& u : users) u.join();
    CHECK(right == 150);
}
