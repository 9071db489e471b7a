// layer/router_check: what a router verifies before any work, and how its steps are found and visited
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/roles.hpp"

MOE_BEGIN

// A tuple of gradients or moments is visited like the parts it is shaped after.
template <std::size_t Place, class... P>
auto& part_at(std::tuple<P...>& t) {
    return std::get<Place>(t);
}
template <std::size_t Place, class... P>
const auto& part_at(const std::tuple<P...>& t) {
    return std::get<Place>(t);
}

namespace detail {

template <class Step, class First, class... Rest>
constexpr std::size_t position_of() {
    if constexpr (std::is_same_v<Step, First>) return 0;
    else return 1 + position_of<Step, Rest...>();
}

// Calls f(visitor named after the place, step I of every object) for every step.
template <class... Steps, class V, class F, class... P>
void visit_steps(const V& v, const F& f, P&... p) {
    [&]<std::size_t... Place>(std::index_sequence<Place...>) {
        (
            [&] {
                constexpr std::size_t place = Place;
                const auto at = nested(v, "", static_cast<index_t>(place));
                f(at, part_at<place>(p)...);
            }(),
            ...);
    }(std::index_sequence_for<Steps...>{});
}

// The number of experts behind all steps: the columns, until a selector (product keys) or a route step (experts appended
// behind the others) says otherwise.
template <class... Steps>
index_t experts_of(const std::tuple<Steps...>& steps, index_t columns) {
    index_t experts = columns;
    const auto look = [&](const auto& step) {
        if constexpr (requires { step.experts(columns); }) experts = step.experts(experts);
    };
    std::apply([&](const auto&... step) { (look(step), ...); }, steps);
    return experts;
}

// The number of experts the selector chooses from: route steps do not count yet.
template <class... Steps>
index_t selected_experts_of(const std::tuple<Steps...>& steps, index_t columns) {
    index_t experts = columns;
    const auto look = [&]<class Step>(const Step& step) {
        if constexpr (!has_role<Step, route_step> && requires { step.experts(columns); }) experts = step.experts(experts);
    };
    std::apply([&](const auto&... step) { (look(step), ...); }, steps);
    return experts;
}

// How many experts a token can choose from, at most, after the key steps (group limits).
template <class... Steps>
index_t selectable_of(const std::tuple<Steps...>& steps, index_t experts) {
    index_t count = experts;
    const auto look = [&](const auto& step) {
        if constexpr (requires { step.selectable(experts); }) count = std::min(count, step.selectable(experts));
    };
    std::apply([&](const auto&... step) { (look(step), ...); }, steps);
    return count;
}

inline void check_slots(std::int64_t slots, const char* name) {
    if (slots < 0 || slots > 2147483647) throw_shape(name, "at most 2147483647", std::to_string(slots));
}

template <class Step, class T>
void check_width(const Step& step, const batch<T>& in, index_t experts, index_t selectable) {
    if constexpr (requires { step.width(in, experts); }) {
        const std::int64_t width = step.width(in, experts);
        if (width < 0 || width > selectable) {
            throw_value(std::string(step_name<Step>()) + " routes per token (k)",
                        std::string("at most ") + std::to_string(selectable) + " (experts that can be chosen)",
                        std::to_string(width));
        }
        check_slots(width * in.tokens(), "routes (tokens * k)");
    } else if constexpr (requires { step.max_routes(in, experts); }) {
        check_slots(step.max_routes(in, experts), "routes");
    }
}

template <class T>
void check_replay_token(const batch<T>& in, index_t token, index_t experts) {
    const index_t first = in.replay_offset[std::size_t(token)];
    const index_t last = in.replay_offset[std::size_t(token) + 1];
    if (last < first || std::size_t(last) > in.replay_expert.size()) {
        throw_value(std::string("batch.replay_offset[") + std::to_string(token + 1) + "]",
                    std::to_string(first) + " to " + std::to_string(in.replay_expert.size()), std::to_string(last));
    }
    const auto chosen = in.replay_expert.subspan(std::size_t(first), std::size_t(last - first));
    for (std::size_t s = 0; s < chosen.size(); ++s) {
        const index_t e = chosen[s];
        const bool repeated = e >= 0 && std::find(chosen.begin(), chosen.begin() + std::ptrdiff_t(s), e) !=
                                            chosen.begin() + std::ptrdiff_t(s);
        if (e >= -1 && e < experts && !repeated) continue;
        throw_value(std::string("batch.replay_expert[") + std::to_string(std::size_t(first) + s) + "]",
                    repeated ? "an expert the token has not got yet" : std::string("-1 to ") + std::to_string(experts - 1),
                    std::to_string(e));
    }
}

template <class T>
void check_replay(const batch<T>& in, index_t experts) {
    if (in.replay_offset.empty()) return;
    require_size("batch.replay_offset", in.replay_offset, std::size_t(in.tokens()) + 1);
    if (in.replay_offset[0] != 0) throw_value("batch.replay_offset[0]", "0", std::to_string(in.replay_offset[0]));
    for (index_t t = 0; t < in.tokens(); ++t) check_replay_token(in, t, experts);
    if (std::size_t(in.replay_offset.back()) != in.replay_expert.size()) {
        throw_value("the last of batch.replay_offset", std::to_string(in.replay_expert.size()),
                    std::to_string(in.replay_offset.back()));
    }
}

template <class Step, class T>
void check_step(const Step& step, std::size_t place, const batch<T>& in, index_t columns, index_t experts,
                bool composing) {
    if constexpr (requires { step.check(in, columns, experts); }) step.check(in, columns, experts);
    if (composing) return;
    const auto self = [place] { return std::string("router: step ") + std::to_string(place) + " (" + step_name<Step>() + ")"; };
    if constexpr (requires { Step::needs; }) {
        const char* missing = missing_need(in, Step::needs);
        if (missing != nullptr) throw_value(self(), missing, "a batch without it");
    }
    if (in.causal && !traits_of(step).causal) {
        throw_value(self(), "a step that lets no token see later ones, because batch.causal is set",
                    "one whose choice for a token depends on the other tokens");
    }
}

template <class T, class... Steps>
void check_steps(const std::tuple<Steps...>& steps, const batch<T>& in, index_t columns, index_t experts,
                 bool composing) {
    std::size_t place = 0;
    const index_t selectable = selectable_of(steps, experts);
    // A route step may append experts: those behind it see one more.
    index_t here = experts;
    const auto check = [&]<class Step>(const Step& step) {
        check_step(step, place++, in, columns, here, composing);
        if constexpr (has_role<Step, route_step> && requires { step.experts(here); }) here = step.experts(here);
    };
    std::apply(
        [&](const auto&... step) {
            (check(step), ...);
            (check_width(step, in, experts, selectable), ...);
        },
        steps);
    check_replay(in, experts);
}

}  // namespace detail

MOE_END
