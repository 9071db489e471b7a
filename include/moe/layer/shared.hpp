// layer/shared: experts that serve every token, added behind the routed ones
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] += sum over the bank's experts of expert(x[t])
//
// Source: DeepSeekMoE 2024. Masked tokens are not served. Any expert bank may be shared; its experts are added in
// ascending order.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

namespace detail {

// Every live token to every expert.
template <class B, class T>
plan_view everyone_plan(B& b, const batch<T>& in, index_t experts, arena& memory) {
    const index_t tokens = in.tokens();
    if (std::int64_t{tokens} * experts > 2147483647) {
        throw_shape("shared: tokens * experts", "at most 2147483647", std::to_string(std::int64_t{tokens} * experts));
    }
    auto offset = memory.take<index_t>(std::size_t(tokens) + 1);
    auto expert = memory.take<index_t>(std::size_t(tokens) * std::size_t(experts));
    for (index_t t = 0; t <= tokens; ++t) offset[std::size_t(t)] = t * experts;
    for (index_t t = 0; t < tokens; ++t) {
        for (index_t e = 0; e < experts; ++e) expert[std::size_t(t * experts + e)] = in.live(t) ? e : -1;
    }
    return kernels_of<B>::build_plan(b, tokens, experts, offset, expert, memory);
}

}  // namespace detail

template <class Bank>
class shared {
public:
    using role = shared_part;
    using scalar = typename Bank::scalar;
    using gradient = gradient_t<Bank>;

    explicit shared(Bank bank) : bank_(std::move(bank)) {}

    index_t features() const { return bank_.features(); }
    index_t outputs() const {
        if constexpr (requires { bank_.outputs(); }) return bank_.outputs();
        else return bank_.features();
    }
    Bank& bank() { return bank_; }
    const Bank& bank() const { return bank_; }

    template <class B>
    struct saved {
        plan_view plan;
        decltype(std::declval<const Bank&>().forward(std::declval<B&>(), std::declval<const routing<scalar>&>(),
                                                     std::declval<const plan_view&>(), matrix_view<scalar>{})) experts;
    };

    template <class B>
    saved<B> forward(B& b, const routing<scalar>& s, matrix_view<scalar> y) const {
        saved<B> kept{detail::everyone_plan(b, s.in(), bank_.experts(), *s.memory), {}};
        const matrix_view<scalar> rows = b.scratch().template take<scalar>(kept.plan.rows(), outputs());
        kept.experts = bank_.forward(b, s, kept.plan, rows);
        kernels_of<B>::weighted_sum(b, kept.plan, rows, {}, y, true);
        return kept;
    }

    template <class B>
    void backward(B& b, const routing<scalar>& s, matrix_view<const scalar> dy, adjoint<scalar>& d,
                  const saved<B>& kept, gradient& g) const {
        const matrix_view<scalar> d_rows = b.scratch().template take<scalar>(kept.plan.rows(), outputs());
        kernels_of<B>::weighted_sum_gradient(b, kept.plan, d_rows, {}, dy, d_rows, {});
        const matrix_view<const scalar> upstream = d_rows;
        detail::call_backward(bank_, kept.experts, g, b, s, kept.plan, upstream, d);
    }

    gradient make_gradient() const { return moe::make_gradient(bank_); }

    template <class V, class... P>
        requires has_parameters<Bank>
    static void parameters(V&& v, P&... p) {
        Bank::parameters(v, bank_of(p)...);
    }
    template <class V, class... P>
        requires has_state<Bank>
    static void state(V&& v, P&... p) {
        Bank::state(v, bank_of(p)...);
    }

private:
    static Bank& bank_of(shared& s) { return s.bank_; }
    static const Bank& bank_of(const shared& s) { return s.bank_; }
    template <class G>
    static G& bank_of(G& g) {
        return g;
    }

    Bank bank_;
};

MOE_END
