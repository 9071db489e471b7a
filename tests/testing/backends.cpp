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
struct swaps_gate_and_up {};
struct overwrites_gradients {};

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
template <>
struct kernels<swaps_gate_and_up> : kernels<reference_tag> {
    template <class B, class T, class A>
    static void gated_activation_gradient(B& b, const row_groups& rows, input_view<T> z_gate, input_view<T> z_up,
                                          input_view<T> dh, const A& act, matrix_view<T> d_gate, matrix_view<T> d_up) {
        kernels<reference_tag>::gated_activation_gradient<B, T>(b, rows, z_gate, z_up, dh, act, d_up, d_gate);
    }
};
template <>
struct kernels<overwrites_gradients> : kernels<reference_tag> {
    template <class B, class T>
    static void grouped_bias_gradient(B& b, const row_groups& rows, input_view<T> dc, matrix_view<T> db) {
        kernels<reference_tag>::fill<B, T>(b, db, T(0));
        kernels<reference_tag>::grouped_bias_gradient<B, T>(b, rows, dc, db);
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

TEST_CASE("a backend with a faulty verb is found, whatever the verb") {
    broken<forgets_last_row> last;
    CHECK(moe::testing::backend_laws<double>(last).breaks("rows"));
    broken<forgets_weights> weights;
    const auto sums = moe::testing::backend_laws<double>(weights);
    CHECK(sums.breaks("products and sums"));
    CHECK(sums.breaks("adjoint identity"));
    broken<swaps_gate_and_up> swapped;
    CHECK(moe::testing::backend_laws<double>(swapped).breaks("products and sums"));
    broken<overwrites_gradients> overwriting;
    CHECK(moe::testing::backend_laws<double>(overwriting).breaks("products and sums"));
    broken<turns_rows> turned;
    const auto found = moe::testing::plan_laws(turned);
    CHECK(found.text() ==
          "the backend's plan breaks 1 law\n"
          "stability: the rows of expert 0 are not in slot order\n"
          "    tokens = 2;\n"
          "    3 slots, expert = {0, -1, -1, -1, 0, -1};\n"
          "    seed = 1;\n");
}
