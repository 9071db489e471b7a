// moe::cpu on the threads of OpenMP and oneTBB: the bits of our own threads, and no more threads inside their regions.
#include "backend/problem.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(TEST_HAS_TBB)
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#endif

using namespace test;

namespace {

// A grouped product large enough to be shared, and its weight gradient.
struct products {
    guarded<float> c;
    moe::panels<float> dw;

    explicit products(moe::cpu& cpu) : c(300, 130), dw(5, 130, 200) {
        static const grouping g({120, 0, 1, 79, 100});
        static const auto w = random_weights<float>(5, 130, 200, 1);
        static const auto x = random_rows<float>(g.tokens, 200, 2);
        on_cpu::grouped_linear(cpu, g.by_token(), x.view(), w, {}, c.view());
        on_cpu::grouped_weight_gradient(cpu, g.by_token(), c.view(), x.view(), dw);
    }
    bool operator==(const products& o) const { return same_bits(c, o.c) && same_bits(dw, o.dw); }
};

template <class Pool>
void check_bits(Pool& pool) {
    moe::cpu own;
    const products expected(own);
    for (const index_t threads : thread_counts()) {
        INFO("threads " << threads);
        moe::cpu cpu{moe::on_pool{threads, pool}};
        CHECK(products(cpu) == expected);
        CHECK(products(cpu) == expected);
    }
}

// Calls layers from inside a region of the pool, and returns how many threads worked at the same time at most.
template <class Pool>
int most_at_once(Pool& pool) {
    std::atomic<int> now{0}, most{0}, right{0};
    const auto counted = [&](index_t n, moe::pool_task f) {
        pool(n, [&](index_t i) {
            const int here = ++now;
            for (int seen = most; here > seen && !most.compare_exchange_weak(seen, here);) {}
            f(i);
            --now;
        });
    };
    moe::cpu own;
    const products expected(own);
    pool(4, [&](index_t) {
        moe::cpu cpu{moe::on_pool{4, counted}};
        right += products(cpu) == expected ? 1 : 0;
    });
    CHECK(right == 4);
    return most;
}

}  // namespace

TEST_CASE("what cannot be tried here is named") {
    if (std::string(TEST_SKIPPED).empty()) SUCCEED();
    else WARN("skipped " << TEST_SKIPPED);
}

#if defined(_OPENMP)
TEST_CASE("OpenMP's threads give the bits of our own, and its regions are not nested") {
    auto parallel_for = [](index_t n, const auto& f) {
#pragma omp parallel for num_threads(n)
        for (index_t i = 0; i < n; ++i) f(i);
    };
    check_bits(parallel_for);
    omp_set_max_active_levels(1);
    auto on_two = [](index_t n, const auto& f) {
#pragma omp parallel for num_threads(2)
        for (index_t i = 0; i < n; ++i) f(i);
    };
    CHECK(most_at_once(on_two) <= 2);
}
#endif

#if defined(TEST_HAS_TBB)
TEST_CASE("oneTBB's threads give the bits of our own, and no more than it has work at a time") {
    auto parallel_for = [](index_t n, const auto& f) { tbb::parallel_for(index_t{0}, n, f); };
    check_bits(parallel_for);
    // A thread that waits for its own tasks may take one of another region meanwhile, so tasks may be open inside
    // tasks: threads are counted, not tasks.
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, 2);
    std::mutex mutex;
    std::vector<std::thread::id> seen;
    auto noted = [&](index_t n, const auto& f) {
        tbb::parallel_for(index_t{0}, n, [&](index_t i) {
            {
                const std::lock_guard<std::mutex> lock(mutex);
                const auto id = std::this_thread::get_id();
                if (std::find(seen.begin(), seen.end(), id) == seen.end()) seen.push_back(id);
            }
            f(i);
        });
    };
    most_at_once(noted);
    CHECK(seen.size() <= 2);
}
#endif
