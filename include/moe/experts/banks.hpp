// experts: banks of different kinds and sizes side by side, one range of expert ids each
// SPDX-License-Identifier: Apache-2.0
//
//     moe::banks{swiglu_bank<float>{...}, null_bank<float>{...}}     ids 0 .. E0-1, then E0 .. E0+E1-1
//
// Every bank sees the rows of its own experts only; the order of the sum over a token's experts is that of the ids over
// all banks. Source: HMoE 2024 (sizes), MoE++ 2024 and LongCat-Flash 2025 (kinds).
// errors        banks of different features or outputs: shape_error; banks of different scalar types: compile error
#pragma once

#include <tuple>

#include "moe/experts/bank.hpp"

MOE_BEGIN

template <class First, class... Rest>
class banks {
public:
    using role = experts_part;
    using scalar = typename First::scalar;
    using gradient = std::tuple<gradient_t<First>, gradient_t<Rest>...>;
    static constexpr bool applies_weight = detail::bank_applies_weight<First>();

    static_assert((detail::has_role<First, experts_part> && ... && detail::has_role<Rest, experts_part>),
                  "moe::banks: every part must be an expert bank, e.g. moe::swiglu_bank<float>{...}");
    static_assert((std::is_same_v<scalar, typename Rest::scalar> && ...),
                  "moe::banks: the banks compute in different scalar types; use the same one in all");
    static_assert(((detail::bank_applies_weight<Rest>() == applies_weight) && ...),
                  "moe::banks: some banks apply the routes' weights themselves and some do not; wrap all or none");

    explicit banks(First first, Rest... rest) : banks_(std::move(first), std::move(rest)...) {
        std::size_t place = 0;
        std::apply([&](const auto&... bank) { (check(bank, place++), ...); }, banks_);
    }

    index_t features() const { return std::get<0>(banks_).features(); }
    index_t outputs() const { return detail::bank_outputs(std::get<0>(banks_)); }
    index_t experts() const {
        return std::apply([](const auto&... bank) { return (bank.experts() + ...); }, banks_);
    }

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
        for_each([&](const auto& bank, index_t first, auto place) {
            arena_frame scratch(b.scratch());
            std::get<place>(kept) = detail::value_of(
                [&] { return bank.forward(b, s, plan.experts_range(first, bank.experts()), rows); });
        });
        return kept;
    }

    template <class B, class G>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, const saved<B>& kept, G& g) const {
        for_each([&](const auto& bank, index_t first, auto place) {
            const plan_view own = plan.experts_range(first, bank.experts());
            arena_frame scratch(b.scratch());
            detail::bank_backward(bank, std::get<place>(kept), gradient_at<place>(g), b, s, own, d_rows, d);
        });
    }

    gradient make_gradient() const {
        return std::apply([](const auto&... bank) { return gradient{moe::make_gradient(bank)...}; }, banks_);
    }

    template <class V, class... P>
        requires(has_parameters<First> || ... || has_parameters<Rest>)
    static void parameters(V&& v, P&... p) {
        visit([](const auto& at, auto& bank, auto&... others) {
            using Bank = std::remove_const_t<std::remove_reference_t<decltype(bank)>>;
            if constexpr (has_parameters<Bank>) Bank::parameters(at, bank, others...);
        }, v, p...);
    }
    template <class V, class... P>
        requires(has_state<First> || ... || has_state<Rest>)
    static void state(V&& v, P&... p) {
        visit([](const auto& at, auto& bank, auto&... others) {
            using Bank = std::remove_const_t<std::remove_reference_t<decltype(bank)>>;
            if constexpr (has_state<Bank>) Bank::state(at, bank, others...);
        }, v, p...);
    }

private:
    using sequence = std::index_sequence_for<First, Rest...>;

    template <class Bank>
    void check(const Bank& bank, std::size_t place) const {
        const std::string name = std::string("banks: bank ") + std::to_string(place);
        if (bank.experts() < 1) throw_value(name + " experts", "at least 1", std::to_string(bank.experts()));
        if (bank.features() != features()) {
            throw_shape(name + " features", std::to_string(features()) + " (bank 0)", std::to_string(bank.features()));
        }
        if (detail::bank_outputs(bank) != outputs()) {
            throw_shape(name + " outputs", std::to_string(outputs()) + " (bank 0)",
                        std::to_string(detail::bank_outputs(bank)));
        }
    }

    // f(bank, its first expert, its place)
    template <class F>
    void for_each(const F& f) const {
        index_t first = 0;
        const auto call = [&](const auto& bank, auto place) {
            f(bank, first, place);
            first += bank.experts();
        };
        [&]<std::size_t... Place>(std::index_sequence<Place...>) {
            (call(std::get<Place>(banks_), std::integral_constant<std::size_t, Place>{}), ...);
        }(sequence{});
    }

    template <std::size_t Place, class P>
    static decltype(auto) at_place(P& p) {
        if constexpr (std::is_same_v<std::remove_const_t<P>, banks>) return (p.template bank<Place>());
        else return (std::get<Place>(p));
    }
    template <std::size_t Place, class G>
    static auto& gradient_at(G& g) {
        if constexpr (std::is_same_v<G, no_gradient>) return g;
        else return std::get<Place>(g);
    }

    template <class F, class V, class... P>
    static void visit(const F& f, const V& v, P&... p) {
        [&]<std::size_t... Place>(std::index_sequence<Place...>) {
            (
                [&] {
                    constexpr std::size_t place = Place;
                    f(nested(v, "", static_cast<index_t>(place)), at_place<place>(p)...);
                }(),
                ...);
        }(sequence{});
    }

    std::tuple<First, Rest...> banks_;
};

template <class... Banks>
banks(Banks...) -> banks<Banks...>;

MOE_END
