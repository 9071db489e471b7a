// moe::cpu on threads of the caller; that results have the same bits is in promises.cpp.
#include "backend/caller_pool.hpp"

#include "backend/problem.hpp"

using namespace test;

namespace {

// Whether parallel() calls every item once, on workers that exist and no two of which have the same number at a time.
bool hands_out_all(moe::cpu& cpu, index_t items) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(items)), busy(static_cast<std::size_t>(cpu.threads()));
    std::atomic<bool> right{true};
    cpu.parallel(items, 1e9, [&](index_t item, index_t next, index_t worker) {
        if (worker < 0 || worker >= cpu.threads() || next <= item || busy[std::size_t(worker)]++ != 0) right = false;
        ++calls[std::size_t(item)];
        --busy[std::size_t(worker)];
    });
    return right && std::all_of(calls.begin(), calls.end(), [](const auto& c) { return c == 1; });
}

}  // namespace

TEST_CASE("a cpu on a caller's pool wants at least one thread") {
    backwards pool;
    CHECK(moe::cpu(moe::on_pool{3, pool}).threads() == 3);
    CHECK_THROWS_AS(moe::cpu(moe::on_pool{0, pool}), moe::value_error);
}

TEST_CASE("a caller's pool is handed every item once, whatever the order of its tasks") {
    for (const index_t threads : thread_counts()) {
        INFO("threads " << threads);
        backwards one_by_one;
        threads_for_each_call at_once;
        moe::cpu first{moe::on_pool{threads, one_by_one}}, second{moe::on_pool{threads, at_once}};
        for (const index_t items : {0, 1, 2, 7, 1000}) {
            CHECK(hands_out_all(first, items));
            CHECK(hands_out_all(second, items));
        }
        CHECK(at_once.calls == (threads == 1 ? 0 : 3));
    }
}

TEST_CASE("little work does not reach the caller's pool") {
    threads_for_each_call pool;
    moe::cpu cpu{moe::on_pool{4, pool}};
    cpu.parallel(50, 100.0, [](index_t, index_t, index_t) {});
    CHECK(pool.calls == 0);
}

TEST_CASE("inside a region of the caller's the calling thread does all the work") {
    threads_for_each_call pool;
    const auto parallel_for = [&](index_t n, moe::pool_task f) { pool(n, f); };
    const auto inside = [&] { return pool.inside(); };
    std::atomic<int> right{0};
    moe::cpu region{moe::on_pool{3, parallel_for, inside}};
    region.parallel(3, 1e9, [&](index_t, index_t, index_t) {
        moe::cpu cpu{moe::on_pool{4, parallel_for, inside}};
        const auto caller = std::this_thread::get_id();
        int here = 0;
        cpu.parallel(100, 1e9, [&](index_t, index_t, index_t worker) {
            here += std::this_thread::get_id() == caller && worker == 0 ? 1 : 0;
        });
        right += here == 100 ? 1 : 0;
    });
    CHECK(right == 3);
    CHECK(pool.calls == 1);
}
