// tests/support: a router step chosen at run time among those of one role, so that one program can compose routers at random
// SPDX-License-Identifier: Apache-2.0
//
// The steps may have no parameters. A selector always gives ragged routes, a route step always takes routes whole: what
// the step inside may write is passed on, the rest it sees as const.
#pragma once

#include <variant>

#include "moe/core/roles.hpp"
#include "moe/layer/router_check.hpp"

namespace any {

using moe::index_t;

template <class Role, class... Steps>
struct step_base {
    using role = Role;
    static constexpr const char* name = "any_step";

    std::variant<Steps...> held;

    moe::part_traits traits() const {
        return std::visit([](const auto& step) { return moe::traits_of(step); }, held);
    }

    template <class T>
    void check(const moe::batch<T>& in, index_t columns, index_t experts) const {
        visit([&](const auto& step, auto) { moe::detail::check_step(step, 0, in, columns, experts, false); });
    }

    // f(step, its place as a constant)
    template <class F>
    void visit(const F& f) const {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (..., (held.index() == I ? f(std::get<I>(held), std::integral_constant<std::size_t, I>{}) : void()));
        }(std::index_sequence_for<Steps...>{});
    }

    template <class B, class T>
    using saved = std::variant<moe::detail::saved_t<Steps, B, T>...>;
};

template <class... Steps>
struct score : step_base<moe::score_step, Steps...> {
    template <class B, class T>
    typename score::template saved<B, T> forward(B& b, const moe::routing<T>& s, moe::matrix_view<T> scores) const {
        typename score::template saved<B, T> kept;
        this->visit([&](const auto& step, auto place) {
            kept.template emplace<place>(moe::detail::value_of([&] { return step.forward(b, s, scores); }));
        });
        return kept;
    }
    template <class B, class T, class Saved>
    void backward(B& b, const moe::routing<T>& before, const moe::routing<T>& after, moe::adjoint<T>& d,
                  const Saved& kept) const {
        this->visit([&](const auto& step, auto place) {
            moe::no_gradient none;
            moe::detail::call_backward(step, std::get<place>(kept), none, b, before, after, d);
        });
    }
};

template <class... Steps>
struct key : step_base<moe::key_step, Steps...> {
    template <class B, class T>
    void forward(B& b, const moe::routing<T>& s, moe::matrix_view<T> keys) const {
        this->visit([&](const auto& step, auto) { step.forward(b, s, keys); });
    }
    index_t selectable(index_t experts) const {
        index_t count = experts;
        this->visit([&](const auto& step, auto) {
            if constexpr (requires { step.selectable(experts); }) count = step.selectable(experts);
        });
        return count;
    }
};

template <class... Steps>
struct selector : step_base<moe::selector_step, Steps...> {
    // The router asks this of fixed selectors only.
    template <class T>
    void check(const moe::batch<T>& in, index_t columns, index_t experts) const {
        step_base<moe::selector_step, Steps...>::check(in, columns, experts);
        this->visit([&](const auto& step, auto) { moe::detail::check_width(step, in, experts, experts); });
    }
    template <class T>
    std::int64_t max_routes(const moe::batch<T>& in, index_t experts) const {
        std::int64_t count = 0;
        this->visit([&](const auto& step, auto) {
            if constexpr (requires { step.width(in, experts); }) count = std::int64_t{step.width(in, experts)} * in.tokens();
            else count = step.max_routes(in, experts);
        });
        return count;
    }
    template <class B, class T>
    void forward(B& b, const moe::routing<T>& s, moe::ragged_choice c) const {
        this->visit([&](const auto& step, auto) {
            if constexpr (requires { step.width(s.in(), s.experts); }) {
                const std::size_t width = static_cast<std::size_t>(step.width(s.in(), s.experts));
                for (std::size_t t = 0; t < c.offset.size(); ++t) c.offset[t] = static_cast<index_t>(t * width);
                step.forward(b, s, moe::choice{c.offset, c.expert});
            } else {
                step.forward(b, s, c);
            }
        });
    }
};

template <class... Steps>
struct route : step_base<moe::route_step, Steps...> {
    template <class Step, class B, class T>
    static constexpr bool drops = std::is_same_v<moe::detail::written_t<Step, B, T>, moe::choice>;

    template <class B, class T>
    typename route::template saved<B, T> forward(B& b, const moe::routing<T>& s, moe::routes_view<T> routes) const {
        typename route::template saved<B, T> kept;
        this->visit([&](const auto& step, auto place) {
            using X = moe::detail::written_t<std::remove_cvref_t<decltype(step)>, B, T>;
            moe::routing<T> seen = s;
            kept.template emplace<place>(moe::detail::value_of([&] {
                if constexpr (std::is_same_v<X, moe::choice>) {
                    seen.routes.weight = routes.weight;
                    return step.forward(b, seen, moe::choice{routes.offset, routes.expert});
                } else if constexpr (std::is_same_v<X, std::span<T>>) {
                    seen.routes.expert = routes.expert;
                    return step.forward(b, seen, routes.weight);
                } else {
                    return step.forward(b, seen, routes);
                }
            }));
        });
        return kept;
    }
    template <class B, class T, class Saved>
    void backward(B& b, const moe::routing<T>& before, const moe::routing<T>& after, moe::adjoint<T>& d,
                  const Saved& kept) const {
        this->visit([&](const auto& step, auto place) {
            if constexpr (drops<std::remove_cvref_t<decltype(step)>, B, T>) {
                for (std::size_t i = 0; i < after.routes.expert.size(); ++i) {
                    if (after.routes.expert[i] < 0) d.weight[i] = T(0);
                }
            } else {
                moe::no_gradient none;
                moe::detail::call_backward(step, std::get<place>(kept), none, b, before, after, d);
            }
        });
    }
};

}  // namespace any
