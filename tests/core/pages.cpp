#include "moe/core/pages.hpp"

#include <set>
#include <thread>

#include "core/smaps.hpp"
#include "moe/backend/cpu.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/io/save.hpp"
#include "support/catch.hpp"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace {

constexpr std::size_t page = moe::host_memory::huge_page;

// Runs every item on a thread of its own.
struct thread_an_item : moe::reference {
    int items = 0;
    std::set<std::thread::id> threads;

    template <class F>
    void parallel(moe::index_t count, double, const F& f) {
        for (moe::index_t i = 0; i < count; ++i) {
            std::thread([&] {
                threads.insert(std::this_thread::get_id());
                f(i, i + 1, moe::index_t{0});
            }).join();
        }
        items += count;
    }
};

using bank_type = moe::swiglu_bank<float, moe::f16_with_masters>;

// Masters of 6 and 2.25 MiB, packed weights of half of that.
bank_type make_bank() {
    return {{.features = 512, .hidden = 1024, .experts = 3, .bias = true, .seed = 4, .outputs = 170}};
}

}  // namespace

TEMPLATE_TEST_CASE("memory on pages of a chosen size holds blocks of any size", "", moe::huge_pages, moe::small_pages) {
    const moe::memory_space& space = moe::space_of<TestType>;
    for (const std::size_t size : {std::size_t{1}, page - 1, page, page + 1, 2 * page + 12345}) {
        INFO(size << " bytes");
        moe::buffer<unsigned char> block(size, space);
        CHECK(reinterpret_cast<std::uintptr_t>(block.data()) % (size < page ? 64 : page) == 0);
        CHECK(std::count(block.span().begin(), block.span().end(), 0) == std::ptrdiff_t(size));
        std::fill(block.span().begin(), block.span().end(), static_cast<unsigned char>(7));
        const moe::buffer<unsigned char> copy = block;
        block.move_to(moe::host_space);
        CHECK(&copy.space() == &space);
        CHECK(std::equal(copy.span().begin(), copy.span().end(), block.span().begin()));
    }
}

#if defined(__linux__) && defined(__x86_64__)
TEST_CASE("huge pages are asked for, small pages are kept small") {
    if (!tells_of_huge_pages()) return;
    const moe::buffer<float> huge(page, moe::space_of<moe::huge_pages>), small(page, moe::space_of<moe::small_pages>);
    const std::string of_huge = page_flags(huge.data()), of_small = page_flags(small.data());
    INFO(of_huge << " and " << of_small);
    CHECK((of_huge.find(" hg") != std::string::npos || of_huge.find(" ht") != std::string::npos));
    CHECK(of_small.find(" nh") != std::string::npos);
}

#endif

#if defined(__linux__)
TEMPLATE_TEST_CASE("new memory has pages that nobody has touched", "", moe::huge_pages, moe::small_pages) {
    const std::size_t size = 3 * page;
    void* const p = TestType::allocate(size);
    const std::size_t small = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> resident(size / small);
    REQUIRE(::mincore(p, size, resident.data()) == 0);
    CHECK(std::count(resident.begin(), resident.end(), 0) == std::ptrdiff_t(resident.size()));
    static_cast<char*>(p)[page] = 1;
    REQUIRE(::mincore(p, size, resident.data()) == 0);
    CHECK((resident[page / small] & 1) == 1);
    CHECK((resident[0] & 1) == 0);
    TestType::release(p, size);
}
#endif

TEST_CASE("first_touch takes every tensor to new pages, in pieces copied by the threads of the backend") {
    bank_type before = make_bank();
    bank_type bank = before;
    thread_an_item backend;
    moe::first_touch(backend, bank);
    CHECK(backend.items == 2 * (3 + 2) + (2 + 1) + 3);  // masters and packed weights of gate and up, of down; biases
    CHECK(backend.threads.count(std::this_thread::get_id()) == 0);
    CHECK(moe::to_bytes(bank) == moe::to_bytes(before));
    CHECK(&bank.up.space() == &moe::space_of<moe::huge_pages>);
    CHECK(&bank.up.packed().space() == &moe::space_of<moe::huge_pages>);
    CHECK(&bank.up_bias.space() == &moe::space_of<moe::huge_pages>);
    CHECK(bank.up.span().data() != before.up.span().data());
}

TEST_CASE("first_touch changes no bit of a model on any backend and any pages") {
    bank_type before = make_bank();
    const auto check = [&](auto memory, auto&& backend) {
        bank_type bank = before;
        moe::first_touch<decltype(memory)>(backend, bank);
        CHECK(moe::to_bytes(bank) == moe::to_bytes(before));
        const auto& packed = bank.down.packed();
        CHECK(std::memcmp(packed.span().data(), before.down.packed().span().data(), packed.span().size_bytes()) == 0);
        CHECK(&bank.gate.space() == &moe::space_of<decltype(memory)>);
    };
    check(moe::huge_pages{}, moe::cpu{{.threads = 3}});
    check(moe::small_pages{}, moe::cpu{});
    check(moe::small_pages{}, moe::reference{});
}

TEST_CASE("a model is copied to pages of a chosen size") {
    bank_type before = make_bank();
    bank_type there = moe::copy_to(moe::space_of<moe::small_pages>, before);
    CHECK(&there.gate.space() == &moe::space_of<moe::small_pages>);
    CHECK(&before.gate.space() == &moe::host_space);
    CHECK(moe::to_bytes(there) == moe::to_bytes(before));
}
