#include "moe/core/arena.hpp"

#include "support/catch.hpp"

TEST_CASE("an arena gives aligned pieces that do not overlap") {
    moe::arena a;
    const auto first = a.take<float>(3);
    const auto second = a.take<double>(5);
    const auto rows = a.take<float>(4, 3);
    CHECK(reinterpret_cast<std::uintptr_t>(first.data()) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(second.data()) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(rows.row(1)) % 64 == 0);
    CHECK(static_cast<void*>(first.data() + 3) <= static_cast<void*>(second.data()));
    CHECK(rows.rows == 4);
    CHECK(rows.cols == 3);
}

TEST_CASE("the same sequence of takes gets the same memory and grows nothing") {
    moe::arena a;
    const auto take_all = [&] {
        std::vector<void*> places;
        for (const std::size_t size : {10u, 100000u, 7u, 300000u, 1u}) places.push_back(a.take<float>(size).data());
        return places;
    };
    const auto first = take_all();
    const std::size_t capacity = a.capacity();
    a.reset();
    CHECK(take_all() == first);
    CHECK(a.capacity() == capacity);
}

TEST_CASE("a frame gives back what was taken inside it") {
    moe::arena a;
    (void)a.take<float>(1);
    void* inside = nullptr;
    {
        moe::arena_frame frame(a);
        inside = a.take<float>(1000).data();
    }
    CHECK(a.take<float>(1000).data() == inside);
}

TEST_CASE("the peak is the most that was taken at a time, in steps of 64 bytes, whatever the chunks") {
    moe::arena a;
    CHECK(a.peak() == 0);
    (void)a.take<char>(1);
    {
        const moe::arena_frame frame(a);
        (void)a.take<char>(100);
        (void)a.take<char>(1 << 20);  // a chunk of its own
    }
    CHECK(a.peak() == 64 + 128 + (1 << 20));
    (void)a.take<char>(1000);
    a.reset();
    (void)a.take<char>(1000);
    CHECK(a.peak() == 64 + 128 + (1 << 20));
}

TEST_CASE("poison overwrites free memory and leaves taken memory") {
    moe::arena a;
    auto kept = a.take<unsigned char>(64);
    std::fill(kept.begin(), kept.end(), static_cast<unsigned char>(1));
    moe::arena::mark here = a.position();
    (void)a.take<unsigned char>(64);
    a.release(here);
    a.poison(0xAB);
    CHECK(kept[0] == 1);
    CHECK(kept[63] == 1);
    CHECK(a.take<unsigned char>(64)[63] == 0xAB);
}

TEST_CASE("an impossible size is refused") {
    moe::arena a;
    CHECK_THROWS_AS(a.take<double>(static_cast<std::size_t>(-1) / 2), std::bad_alloc);
}
