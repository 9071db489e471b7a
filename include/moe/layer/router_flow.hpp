// layer/router_flow: how a router runs its steps, forward and backward
// SPDX-License-Identifier: Apache-2.0
//
// Forward: each step sees all that is known before it as const and writes one thing, which is hidden from what it sees.
// With a record (training) every step writes into a fresh copy and the state before each step is kept; without one, steps
// work in place and what they return is gone when they return. Both run the same steps on the same values.
// Backward: the steps in reverse, each with the state on both sides of it.
// Masked tokens: their rows are zeros in all that steps read and in all that comes back, see masked_rows.hpp.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"
#include "moe/layer/masked_rows.hpp"
#include "moe/layer/router_check.hpp"
#include "moe/layer/slots.hpp"

MOE_BEGIN

namespace detail {

template <class B, class T, class... Steps>
struct router_record {
    const routing<T>* at[sizeof...(Steps) + 1];  // at[i] is the state before step i
    std::tuple<saved_t<Steps, B, T>...> saved;
};

template <class B, class T, class... Steps>
struct router_flow {
    using K = kernels_of<B>;

    B& b;
    arena& memory;
    router_record<B, T, Steps...>* record;
    const batch<T>& in;
    index_t columns;
    index_t experts;

    routing<T> now{};
    matrix_view<T> scores{};
    matrix_view<T> keys{};
    routes_view<T> slots{};
    bool own_scores = false;
    bool own_keys = false;

    routing<T> run(const std::tuple<Steps...>& steps) {
        now.batch_of_call = in.mask.empty() ? &in : memory.create(with_masked_rows_cleared(b, in, memory));
        now.experts = experts;
        now.memory = &memory;
        now.recording = record != nullptr;
        remember<0>();
        run_from<0>(steps);
        return now;
    }

private:
    template <std::size_t Place>
    void run_from(const std::tuple<Steps...>& steps) {
        if constexpr (Place < sizeof...(Steps)) {
            apply<Place>(std::get<Place>(steps));
            remember<Place + 1>();
            run_from<Place + 1>(steps);
        }
    }

    template <std::size_t Place>
    void remember() {
        if (record != nullptr) record->at[Place] = memory.create(now);
    }

    template <std::size_t Place, class Step>
    void apply(const Step& step) {
        if constexpr (has_role<Step, gate_step>) apply_gate<Place>(step);
        else if constexpr (has_role<Step, score_step>) apply_score<Place>(step);
        else if constexpr (has_role<Step, key_step>) apply_key<Place>(step);
        else if constexpr (has_role<Step, selector_step>) apply_selector<Place>(step);
        else apply_route<Place>(step);
    }

    // Runs one call of a step inside its own frames and keeps what it returns.
    template <std::size_t Place, class F>
    void call(const F& f) {
        arena_frame scratch(b.scratch());
        if (record != nullptr) {
            std::get<Place>(record->saved) = value_of(f);
        } else {
            arena_frame saved(memory);
            (void)value_of(f);
        }
    }

    matrix_view<T> copy_of(matrix_view<const T> m) {
        matrix_view<T> fresh = memory.take<T>(m.rows, m.cols);
        K::copy(b, m, fresh);
        return fresh;
    }
    template <class U>
    std::span<U> copy_of(std::span<const U> s) {
        std::span<U> fresh = memory.take<U>(s.size());
        K::copy(b, as_row(s), as_row(fresh));
        return fresh;
    }
    std::span<index_t> copy_in(std::span<const index_t> from_host) {
        std::span<index_t> fresh = memory.take<index_t>(from_host.size());
        K::copy_in(b, from_host, fresh);
        return fresh;
    }

    template <std::size_t Place, class Step>
    void apply_gate(const Step& gate) {
        matrix_view<T> logits = memory.take<T>(in.tokens(), columns);
        call<Place>([&] { return gate.forward(b, now, logits); });
        clear_masked_rows(b, in.mask, logits);
        now.logits = now.scores = now.keys = logits;
    }

    template <std::size_t Place, class Step>
    void apply_score(const Step& step) {
        if (record != nullptr || !own_scores) scores = copy_of(now.scores);
        own_scores = true;
        routing<T> seen = now;
        seen.scores = seen.keys = {};
        call<Place>([&] { return step.forward(b, seen, scores); });
        clear_masked_rows(b, in.mask, scores);
        now.scores = now.keys = scores;
    }

    template <std::size_t Place, class Step>
    void apply_key(const Step& step) {
        if (record != nullptr || !own_keys) keys = copy_of(now.keys);
        own_keys = true;
        routing<T> seen = now;
        seen.keys = {};
        call<Place>([&] { return step.forward(b, seen, keys); });
        now.keys = keys;
    }

    template <std::size_t Place, class Step>
    void apply_selector(const Step& selector) {
        if (in.replay_offset.empty()) select<Place>(selector);
        else replay();
        if (!in.mask.empty()) empty_masked_tokens(b, in.mask, slots);
        slots.weight = memory.take<T>(slots.expert.size());
        now.routes.offset = slots.offset;
        now.routes.expert = slots.expert;
        if constexpr (weighs<Step, B, T>) {
            call<Place>([&] { return selector.weigh(b, now, slots.weight); });
            clear_dead(b, slots.offset, slots.expert, slots.weight);
        } else {
            gather_weights(b, slots, now.scores);
        }
        now.routes.weight = slots.weight;
        if (record != nullptr) now.selected = now.routes;
    }

    template <std::size_t Place, class Step>
    void select(const Step& selector) {
        std::span<index_t> offset = memory.take<index_t>(std::size_t(in.tokens()) + 1);
        if constexpr (ragged_selector<Step, B, T>) {
            std::span<index_t> expert = memory.take<index_t>(std::size_t(selector.max_routes(in, experts)));
            {
                arena_frame scratch(b.scratch());
                selector.forward(b, now, ragged_choice{offset, expert});
            }
            index_t count = 0;
            K::copy_out(b, std::span<const index_t>(offset).last(1), std::span<index_t>(&count, 1));
            slots.expert = expert.first(std::size_t(count));
        } else {
            const index_t width = static_cast<index_t>(selector.width(in, experts));
            fill_offsets(b, offset, width);
            slots.expert = memory.take<index_t>(std::size_t(in.tokens()) * std::size_t(width));
            now.routes.per_token = width;
            arena_frame scratch(b.scratch());
            selector.forward(b, now, choice{offset, slots.expert});
        }
        slots.offset = offset;
    }

    void replay() {
        slots.offset = copy_in(in.replay_offset);
        slots.expert = copy_in(in.replay_expert);
        const index_t width = in.tokens() == 0 ? 0 : in.replay_offset[1];
        bool even = true;
        for (std::size_t t = 0; t < in.replay_offset.size(); ++t) {
            even = even && std::int64_t{in.replay_offset[t]} == std::int64_t(t) * width;
        }
        now.routes.per_token = even ? width : 0;
    }

    template <std::size_t Place, class Step>
    void apply_route(const Step& step) {
        using X = written_t<Step, B, T>;
        routing<T> seen = now;
        constexpr bool writes_expert = !std::is_same_v<X, std::span<T>>;
        constexpr bool writes_weight = !std::is_same_v<X, choice>;
        if (record != nullptr && writes_expert) slots.expert = copy_of(now.routes.expert);
        if (record != nullptr) slots.weight = copy_of(now.routes.weight);
        if (writes_expert) seen.routes.expert = {};
        if (writes_weight) seen.routes.weight = {};
        call<Place>([&] {
            if constexpr (std::is_same_v<X, choice>) return step.forward(b, seen, choice{slots.offset, slots.expert});
            else if constexpr (std::is_same_v<X, std::span<T>>) return step.forward(b, seen, slots.weight);
            else return step.forward(b, seen, slots);
        });
        if (writes_expert) clear_dead(b, slots.offset, slots.expert, slots.weight);
        if constexpr (requires { step.experts(experts); }) append(step.experts(now.experts));
        now.routes.expert = slots.expert;
        now.routes.weight = slots.weight;
    }

    void append(index_t experts_now) {
        now.appended += experts_now - now.experts;
        now.experts = experts_now;
    }
};

template <class B, class T, class... Steps>
struct router_backward {
    using K = kernels_of<B>;
    using record = router_record<B, T, Steps...>;

    template <class G>
    static void run(B& b, const std::tuple<Steps...>& steps, const record& rec, adjoint<T>& d, G& gradient) {
        run_from<sizeof...(Steps) - 1>(b, steps, rec, d, gradient);
    }

private:
    template <std::size_t Place, class G>
    static void run_from(B& b, const std::tuple<Steps...>& steps, const record& rec, adjoint<T>& d, G& gradient) {
        using Step = std::tuple_element_t<Place, std::tuple<Steps...>>;
        const routing<T>& before = *rec.at[Place];
        const routing<T>& after = *rec.at[Place + 1];
        arena_frame scratch(b.scratch());
        clear_masked_rows(b, before.in().mask, d.scores);
        if constexpr (has_role<Step, gate_step>) {
            K::add(b, d.scores, d.logits);
            clear_masked_rows(b, before.in().mask, d.logits);
        }
        if constexpr (has_role<Step, selector_step> && !weighs<Step, B, T>) {
            scatter_to_scores(b, after.routes, d);
        } else if constexpr (has_role<Step, route_step> && std::is_same_v<written_t<Step, B, T>, choice>) {
            clear_dead(b, after.routes.offset, after.routes.expert, d.weight);
        } else if constexpr (!has_role<Step, key_step>) {
            call_backward(std::get<Place>(steps), std::get<Place>(rec.saved), std::get<Place>(gradient), b, before, after, d);
        }
        if constexpr (Place > 0) run_from<Place - 1>(b, steps, rec, d, gradient);
    }
};

}  // namespace detail

MOE_END
