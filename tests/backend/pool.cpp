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
