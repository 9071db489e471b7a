#include "moe/core/storage.hpp"

#include "core/smaps.hpp"
#include "moe/core/adapt.hpp"
#include "moe/core/panels.hpp"
#include "support/catch.hpp"

TEST_CASE("matrices start as zeros, copy deeply and move cheaply") {
    moe::matrix<float> a(3, 4);
    CHECK(std::all_of(a.span().begin(), a.span().end(), [](float v) { return v == 0.0f; }));
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
    a(2, 3) = 5.0f;
    moe::matrix<float> copy = a;
    a(2, 3) = 6.0f;
    CHECK(copy(2, 3) == 5.0f);
    const float* memory = copy.data();
    const moe::matrix<float> moved = std::move(copy);
    CHECK(moved.data() == memory);
    CHECK(moved(2, 3) == 5.0f);
}

TEST_CASE("blocks that ask for huge pages start at a huge page and hold their values") {
    moe::buffer<double> a(std::size_t{1} << 20);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % moe::host_memory::huge_page == 0);
    a[a.size() - 1] = 3.0;
    const moe::buffer<double> b = a;
    CHECK(b[b.size() - 1] == 3.0);
    CHECK(b[0] == 0.0);
}

#if defined(__linux__) && defined(__x86_64__)
TEST_CASE("Linux is asked for huge pages where weights are large") {
    const moe::panels<float> large(8, 512, 1024), small(1, 64, 64);
    if (!tells_of_huge_pages()) return;
    const auto asked = [](const float* p) { return page_flags(p).find(" hg") != std::string::npos; };
    CHECK(asked(large.span().data()));
    CHECK(!asked(small.span().data()));
}
#endif

TEST_CASE("a negative size is refused by name") {
    CHECK_THROWS_AS((moe::matrix<float>(-1, 2)), moe::shape_error);
    CHECK_THROWS_AS((moe::panels<float>(1, -1, 2)), moe::shape_error);
}

TEMPLATE_TEST_CASE("panels give back the row-major weights they were given, and pad with zeros", "", float, double) {
    const moe::index_t width = moe::panels<TestType>::width;
    for (const moe::index_t n : {1, 3, width - 1, width, width + 1}) {
        moe::panels<TestType> p(2, n, 5);
        moe::matrix<TestType> w(n, 5), back(n, 5);
        for (std::size_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<TestType>(i + 1);
        p.assign(1, w.view());
        p.read(1, back.view());
        CHECK(std::equal(w.span().begin(), w.span().end(), back.span().begin()));
        CHECK(p(1, n - 1, 4) == w(n - 1, 4));
        double stored = 0.0;
        for (const TestType v : p.span()) stored += static_cast<double>(v);
        const double count = static_cast<double>(w.size());
        CHECK(stored == count * (count + 1) / 2);
    }
}

TEST_CASE("panels refuse a group or a shape that they do not have") {
    moe::panels<float> p(2, 3, 5);
    moe::matrix<float> w(3, 5), wrong(5, 3);
    CHECK_THROWS_WITH(p.assign(2, w.view()), "moe: expert: wanted 0 to 1, got 2");
    CHECK_THROWS_WITH(p.assign(0, wrong.view()), "moe: weights: wanted [3, 5], got [5, 3]");
}

TEST_CASE("sizes above 2^31 - 1 are refused without touching memory") {
    float one = 0.0f;
    CHECK_THROWS_WITH(moe::view_of(&one, std::size_t{1} << 31, 1),
                      "moe: rows: wanted at most 2147483647, got 2147483648");
    const std::span<const float> huge(&one, std::size_t{1} << 33);
    CHECK_THROWS_WITH(moe::as_matrix<const float>(huge, 2, "x"), "moe: x: wanted at most 2147483647, got 4294967296");
}
