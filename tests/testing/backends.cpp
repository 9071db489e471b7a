// The laws of plans and backends, and backends that break them.
#include "moe/testing/backend_laws.hpp"

#include "testing/every.hpp"

namespace {

template <class Tag>
struct broken {
    using tag = Tag;
    using memory = moe::host_memory;
    moe::arena& scratch() { return scratch_; }

private:
    moe::arena scratch_;
};

struct forgets_last_row {};
struct turns_rows {};
struct forgets_weights {};

}  // namespace

MOE_BEGIN
template <>
struct kernels<forgets_last_row> : kernels<reference_tag> {
    template <class B, class P>
    static void for_rows(B&, index_t n, const P& program) {
        for (index_t i = 0; i + 1 < n || (n == 1 && i < n); ++i) program(i);
    }
};
// An expert's rows in reverse.
template <>
struct kernels<turns_rows> : kernels<reference_tag> {
    template <class B>
    static plan_view build_plan(B& b, index_t tokens, index_t experts, std::span<const index_t> offset,
                                std::span<const index_t> expert, arena& memory) {
        const plan_view p = kernels<reference_tag>::build_plan(b, tokens, experts, offset, expert, memory);
        const auto token = memory.take<index_t>(p.token.size()), slot = memory.take<index_t>(p.slot.size());
        const auto row = memory.take<index_t>(p.row.size()), token_row = memory.take<index_t>(p.token_row.size());
        std::copy(p.token.begin(), p.token.end(), token.begin());
        std::copy(p.slot.begin(), p.slot.end(), slot.begin());
        std::copy(p.row.begin(), p.row.end(), row.begin());
        std::copy(p.token_row.begin(), p.token_row.end(), token_row.begin());
        for (index_t e = 0; e < experts; ++e) {
            std::reverse(token.begin() + p.begin(e), token.begin() + p.end(e));
            std::reverse(slot.begin() + p.begin(e), slot.begin() + p.end(e));
            for (index_t r = p.begin(e); r < p.end(e); ++r) row[std::size_t(slot[std::size_t(r)])] = r;
        }
        for (index_t t = 0; t < tokens; ++t) {
            index_t at = p.token_offset[std::size_t(t)];
            for (std::size_t r = 0; r < token.size(); ++r) {
                if (token[r] == t) token_row[std::size_t(at++)] = index_t(r);
            }
        }
        plan_view turned = p;
        turned.token = token;
        turned.slot = slot;
        turned.row = row;
        turned.token_row = token_row;
        return turned;
    }
};
template <>
struct kernels<forgets_weights> : kernels<reference_tag> {
    template <class B, class T>
    static void weighted_sum(B& b, const plan_view& plan, input_view<T> rows, input_span<T>, matrix_view<T> y,
                             bool more) {
        kernels<reference_tag>::weighted_sum<B, T>(b, plan, rows, {}, y, more);
    }
};
MOE_END

TEST_CASE("the backends keep the laws of backends") {
    moe::reference reference;
    moe::cpu one, three{{.threads = 3}};
    CHECK(moe::testing::backend_laws<double>(reference) == no_violations);
    CHECK(moe::testing::backend_laws<double>(three) == no_violations);
    CHECK(moe::testing::backend_laws<float>(one) == no_violations);
}

TEST_CASE("a backend that misses a row, turns rows or forgets weights is found") {
    broken<forgets_last_row> last;
    CHECK(moe::testing::backend_laws<double>(last).breaks("rows"));
    broken<forgets_weights> weights;
    const auto sums = moe::testing::backend_laws<double>(weights);
    CHECK(sums.breaks("products and sums"));
    CHECK(sums.breaks("adjoint identity"));
    broken<turns_rows> turned;
    const auto found = moe::testing::plan_laws(turned);
    CHECK(found.text() ==
          "the backend's plan breaks 1 law\n"
          "stability: the rows of expert 0 are not in slot order\n"
          "    tokens = 2;\n"
          "    3 slots, expert = {0, -1, -1, -1, 0, -1};\n"
          "    seed = 1;\n");
}
