// experts: two or more banks on the same experts, rows added: row = a(x) + b(x) + ...
// SPDX-License-Identifier: Apache-2.0
//
//     moe::bank_sum{moe::frozen{swiglu}, moe::low_rank_bank<float>{...}}     an adapter beside every frozen expert
//
// All banks have the same number of experts, features and outputs. Source: PERFT-E 2024; MoME 2025; adapters in
// parallel (He et al. 2022). The rows are added in the order of the banks.
#pragma once

#include <tuple>

#include "moe/backend/kernels.hpp"
#include "moe/experts/bank.hpp"

MOE_BEGIN

template <class First, class... Rest>
class bank_sum {
public:
    using role = experts_part;
    using scalar = typename First::scalar;
    using gradient = std::tuple<gradient_t<First>, gradient_t<Rest>...>;

    static_assert((std::is_same_v<scalar, typename Rest::scalar> && ...),
                  "moe::bank_sum: the banks compute in different scalar types; use the same one in all");
    static_assert(!(detail::bank_applies_weight<First>() || ... || detail::bank_applies_weight<Rest>()),
                  "moe::bank_sum: a bank in a sum cannot apply the routes' weights; wrap the sum instead");

    explicit bank_sum(First first, Rest... rest) : banks_(std::move(first), std::move(rest)...) {
        std::size_t place = 0;
        std::apply([&](const auto&... bank) { (check(bank, place++), ...); }, banks_);
    }

    index_t features() const { return std::get<0>(banks_).features(); }
    index_t experts() const { return std::get<0>(banks_).experts(); }
    index_t outputs() const { return detail::bank_outputs(std::get<0>(banks_)); }

    template <std::size_t Place>
    auto& bank() {
        return std::get<Place>(banks_);
    }
    template <std::size_t Place>
    const auto& bank() const {
        return std::get<Place>(banks_);
    }

    template <class B>
    using saved = std::tuple<detail::bank_saved_t<First, B, scalar>, detail::bank_saved_t<Rest, B, scalar>...>;

    template <class B>
    saved<B> forward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<scalar> rows) const {
        saved<B> kept;
        const matrix_view<scalar> term = b.scratch().template take<scalar>(plan.last_row(), outputs());
        for_each([&](auto place) {
            arena_frame scratch(b.scratch());
            const matrix_view<scalar> target = place == 0 ? rows : term;
            std::get<place>(kept) =
                detail::value_of([&] { return std::get<place>(banks_).forward(b, s, plan, target); });
            if (place > 0) kernels_of<B>::add(b, own(plan, term), own(plan, rows));
        });
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, const saved<B>& kept, G& g) const {
        for_each([&](auto place) {
            arena_frame scratch(b.scratch());
            detail::bank_backward(std::get<place>(banks_), std::get<place>(kept), gradient_at<place>(g), b, s, plan,
                                  d_rows, d);
        });
    }

    gradient make_gradient() const {
        return std::apply([](const auto&... bank) { return gradient{moe::make_gradient(bank)...}; }, banks_);
    }

    template <class V, class... P>
        requires(has_parameters<First> || ... || has_parameters<Rest>)
    static void parameters(V&& v, P&... p) {
        for_each([&](auto place) {
            constexpr std::size_t i = decltype(place)::value;
            using Bank = std::tuple_element_t<i, std::tuple<First, Rest...>>;
            if constexpr (has_parameters<Bank>) Bank::parameters(nested(v, "", index_t(i)), at_place<i>(p)...);
        });
    }
    template <class V, class... P>
        requires(has_state<First> || ... || has_state<Rest>)
    static void state(V&& v, P&... p) {
        for_each([&](auto place) {
            constexpr std::size_t i = decltype(place)::value;
            using Bank = std::tuple_element_t<i, std::tuple<First, Rest...>>;
            if constexpr (has_state<Bank>) Bank::state(nested(v, "", index_t(i)), at_place<i>(p)...);
        });
    }

private:
    template <class Bank>
    void check(const Bank& bank, std::size_t place) const {
        const auto same = [&](const char* what, index_t wanted, index_t got) {
            if (got == wanted) return;
            throw_shape(std::string("bank_sum: bank ") + std::to_string(place) + " " + what, std::to_string(wanted) + " (bank 0)",
                        std::to_string(got));
        };
        same("features", features(), bank.features());
        same("experts", experts(), bank.experts());
        same("outputs", outputs(), detail::bank_outputs(bank));
    }

    // f(place) for every bank, the place a constant.
    template <class F>
    static void for_each(const F& f) {
        [&]<std::size_t... Place>(std::index_sequence<Place...>) {
            (f(std::integral_constant<std::size_t, Place>{}), ...);
        }(std::index_sequence_for<First, Rest...>{});
    }

    static matrix_view<scalar> own(const plan_view& plan, matrix_view<scalar> m) {
        return m.middle_rows(plan.first_row(), plan.rows());
    }

    template <std::size_t Place, class P>
    static decltype(auto) at_place(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, bank_sum>) return (p.template bank<Place>());
        else return (std::get<Place>(p));
    }
    template <std::size_t Place, class G>
    static auto& gradient_at(G& g) {
        if constexpr (std::is_same_v<G, no_gradient>) return g;
        else return std::get<Place>(g);
    }

    std::tuple<First, Rest...> banks_;
};

template <class... Banks>
bank_sum(Banks...) -> bank_sum<Banks...>;

MOE_END
