// layer/shared: experts that serve every token, added behind the routed ones
// SPDX-License-Identifier: Apache-2.0
//
//     y[t] += sum over the bank's experts of expert(x[t])
//
// Source: DeepSeekMoE 2024. Masked tokens are not served. Any expert bank may be shared; its experts are added in
// ascending order. Other ways to join them: gated_shared, averaged_shared, coefficient_shared.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

namespace detail {

// Every live token to every expert; the slot of expert e of token t is t * experts + e.
template <class B, class T>
plan_view everyone_plan(B& b, const batch<T>& in, index_t experts, arena& memory) {
    const index_t tokens = in.tokens();
    const std::span<index_t> offset = memory.take<index_t>(std::size_t(tokens) + 1);
    const std::span<index_t> expert = memory.take<index_t>(std::size_t(tokens) * std::size_t(experts));
    const std::span<const std::uint8_t> mask = in.mask;
    kernels_of<B>::for_rows(b, tokens + 1, [=] MOE_ROW(index_t t) {
        offset[std::size_t(t)] = t * experts;
        if (t == tokens) return;
        const bool live = mask.empty() || mask[std::size_t(t)] != 0;
        for (index_t e = 0; e < experts; ++e) expert[std::size_t(t * experts + e)] = live ? e : -1;
    });
    return kernels_of<B>::build_plan(b, tokens, experts, offset, expert, memory);
}

// What all kinds of shared experts have in common: a bank that every live token passes, weighted by slot or not.
template <class Bank>
class shared_bank {
public:
    using role = shared_part;
    using scalar = typename Bank::scalar;

    explicit shared_bank(Bank bank) : bank_(std::move(bank)) {
        static_assert(!bank_applies_weight<Bank>(),
                      "moe::shared: there are no routes whose weights this bank could apply");
    }

    index_t features() const { return bank_.features(); }
    index_t outputs() const { return bank_outputs(bank_); }
    Bank& bank() { return bank_; }
    const Bank& bank() const { return bank_; }

    // Run by the layer before any work.
    void check(const batch<scalar>& in) const {
        const std::int64_t rows = std::int64_t{in.tokens()} * bank_.experts();
        if (rows > 2147483647) throw_shape("shared: tokens * experts", "at most 2147483647", std::to_string(rows));
    }

protected:
    template <class B>
    struct pass {
        plan_view plan;
        matrix_view<scalar> rows;  // kept where weights need their gradient
        bank_saved_t<Bank, B, scalar> experts;
    };

    // The rows of all experts; they live in `memory`.
    template <class B>
    pass<B> run(B& b, const routing<scalar>& s, arena& memory) const {
        pass<B> kept;
        kept.plan = everyone_plan(b, s.in(), bank_.experts(), *s.memory);
        kept.rows = memory.template take<scalar>(kept.plan.rows(), outputs());
        kept.experts = value_of([&] { return bank_.forward(b, s, kept.plan, kept.rows); });
        return kept;
    }

    // weight and d_weight by slot, or empty; kept.rows is read only with d_weight.
    template <class B, class G>
    void run_back(B& b, const routing<scalar>& s, matrix_view<const scalar> dy, std::span<const scalar> weight,
                  std::span<scalar> d_weight, adjoint<scalar>& d, const pass<B>& kept, G& g) const {
        const matrix_view<scalar> d_rows = b.scratch().template take<scalar>(kept.plan.rows(), outputs());
        const matrix_view<const scalar> rows = d_weight.empty() ? d_rows : kept.rows;
        kernels_of<B>::weighted_sum_gradient(b, kept.plan, rows, weight, dy, d_rows, d_weight);
        const matrix_view<const scalar> upstream = d_rows;
        bank_backward(bank_, kept.experts, g, b, s, kept.plan, upstream, d);
    }

private:
    Bank bank_;
};

}  // namespace detail

template <class Bank>
class shared : public detail::shared_bank<Bank> {
    using base = detail::shared_bank<Bank>;

public:
    using scalar = typename Bank::scalar;
    using gradient = gradient_t<Bank>;
    static constexpr bool any_memory = detail::runs_in_any_memory<Bank>();

    explicit shared(Bank bank) : base(std::move(bank)) {}

    template <class B>
    using saved = typename base::template pass<B>;

    template <class B>
    saved<B> forward(B& b, const routing<scalar>& s, matrix_view<scalar> y) const {
        const saved<B> kept = this->run(b, s, b.scratch());
        kernels_of<B>::weighted_sum(b, kept.plan, kept.rows, {}, y, true);
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<scalar>& s, matrix_view<const scalar> dy, adjoint<scalar>& d,
                  const saved<B>& kept, G& g) const {
        this->run_back(b, s, dy, {}, {}, d, kept, g);
    }

    gradient make_gradient() const { return moe::make_gradient(this->bank()); }

    template <class V, class... P>
        requires has_parameters<Bank>
    static void parameters(V&& v, P&... p) {
        Bank::parameters(v, bank_of(p)...);
    }
    template <class V, class P>
        requires has_state<Bank>
    static void state(V&& v, P& p) {
        Bank::state(v, p.bank());
    }

private:
    template <class P>
    static decltype(auto) bank_of(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, shared>) return (p.bank());
        else return (p);
    }
};

MOE_END
