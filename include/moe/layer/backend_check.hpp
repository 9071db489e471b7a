// layer/backend_check: whether a backend can run these parts, as one sentence where it cannot
// SPDX-License-Identifier: Apache-2.0
//
// Backends whose memory the host reads run everything. For one with memory of its own, every part must leave that
// memory to verbs and row programs (`any_memory`), and the backend must define every verb. What is checked when a program
// runs: that the weights lie in the backend's memory.
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"
#include "moe/layer/router.hpp"

MOE_BEGIN

namespace detail {

// The first part that loops over memory on the host; void if there is none. Of a router: its first such step.
template <class Part>
struct plain_part {
    using type = std::conditional_t<runs_in_any_memory<Part>(), void, Part>;
};
template <class... Parts>
struct first_plain_part {
    using type = void;
};
template <class Part, class... Parts>
struct first_plain_part<Part, Parts...> {
    using here = typename plain_part<Part>::type;
    using type = typename std::conditional_t<std::is_void_v<here>, first_plain_part<Parts...>, plain_part<Part>>::type;
};
template <class... Steps>
struct plain_part<router<Steps...>> : first_plain_part<Steps...> {};

// What verbs are asked with: a row program, and an activation of one or two arguments.
struct any_program {
    MOE_FN void operator()(index_t) const {}
};
struct any_activation {};

enum class verb {
    none,
    for_rows,
    grouped_linear,
    grouped_activation,
    grouped_gated_activation,
    grouped_input_gradient,
    grouped_weight_gradient,
    grouped_bias_gradient,
    activation_gradient,
    gated_activation_gradient,
    build_plan,
    weighted_sum,
    weighted_sum_gradient,
    copy,
    fill,
    add,
    copy_in,
    copy_out,
};

// The first verb of the table in backend/kernels.hpp that kernels<B::tag> lacks.
template <class B, class T>
constexpr verb missing_verb() {
    using K = kernels_of<B>;
    return []<class M>(std::type_identity<M>) {
        constexpr bool rows = requires(B& b, any_program p) { K::for_rows(b, 1, p); };
        constexpr bool linear = requires(B& b, row_groups g, M m, panels<T> w) { K::grouped_linear(b, g, m, w, m, m); };
        constexpr bool plain = requires(B& b, row_groups g, M m, panels<T> w, any_activation a) {
            K::grouped_activation(b, g, m, w, m, a, m, m);
        };
        constexpr bool gates = requires(B& b, row_groups g, M m, panels<T> w, any_activation a) {
            K::grouped_gated_activation(b, g, m, w, w, m, m, a, m, m, m);
        };
        constexpr bool d_input = requires(B& b, row_groups g, M m, panels<T> w) {
            K::grouped_input_gradient(b, g, m, w, m, true);
        };
        constexpr bool d_weight = requires(B& b, row_groups g, M m, panels<T> w) {
            K::grouped_weight_gradient(b, g, m, m, w);
        };
        constexpr bool d_bias = requires(B& b, row_groups g, M m) { K::grouped_bias_gradient(b, g, m, m); };
        constexpr bool d_plain = requires(B& b, row_groups g, M m, any_activation a) {
            K::activation_gradient(b, g, m, a, m);
        };
        constexpr bool d_gates = requires(B& b, row_groups g, M m, any_activation a) {
            K::gated_activation_gradient(b, g, m, m, m, a, m, m);
        };
        constexpr bool plans = requires(B& b, std::span<const index_t> s, arena& a) {
            K::build_plan(b, 1, 1, s, s, a);
        };
        constexpr bool sums = requires(B& b, plan_view p, M m, std::span<const T> w) {
            K::weighted_sum(b, p, m, w, m, true);
        };
        constexpr bool d_sums = requires(B& b, plan_view p, M m, std::span<T> w) {
            K::weighted_sum_gradient(b, p, m, w, m, m, w);
        };
        constexpr bool copies = requires(B& b, M m) { K::copy(b, m, m); };
        constexpr bool fills = requires(B& b, M m, T value) { K::fill(b, m, value); };
        constexpr bool adds = requires(B& b, M m) { K::add(b, m, m); };
        constexpr bool in = requires(B& b, std::span<T> s) { K::copy_in(b, s, s); };
        constexpr bool out = requires(B& b, std::span<T> s) { K::copy_out(b, s, s); };
        constexpr bool has[] = {rows,  linear, plain,  gates, d_input, d_weight, d_bias, d_plain, d_gates,
                                plans, sums,   d_sums, copies, fills,  adds,     in,     out};
        int first = 0;
        while (first < int(std::size(has)) && has[first]) ++first;
        return first == int(std::size(has)) ? verb::none : static_cast<verb>(first + 1);
    }(std::type_identity<matrix_view<T>>{});
}

// Asserts in one class that names the backend and the part.
template <class Backend, class Part>
struct part_on_backend {
    static_assert(std::is_void_v<Part>,
                  "moe: unsuitable backend: it has memory of its own, which this part does not leave to verbs and row "
                  "programs; write it with kernels_of<B>::for_rows and say 'static constexpr bool any_memory = true', "
                  "or take a backend whose memory the host reads");
};

template <class Tag, verb Missing>
struct verbs_of_backend {
    using v = verb;
#define MOE_VERB(name)                                                                                              \
    static_assert(Missing != v::name, "moe: unsuitable backend: kernels<tag> has no verb '" #name                   \
                                      "'; a backend with memory of its own defines every verb of backend/kernels.hpp")
    MOE_VERB(for_rows);
    MOE_VERB(grouped_linear);
    MOE_VERB(grouped_activation);
    MOE_VERB(grouped_gated_activation);
    MOE_VERB(grouped_input_gradient);
    MOE_VERB(grouped_weight_gradient);
    MOE_VERB(grouped_bias_gradient);
    MOE_VERB(activation_gradient);
    MOE_VERB(gated_activation_gradient);
    MOE_VERB(build_plan);
    MOE_VERB(weighted_sum);
    MOE_VERB(weighted_sum_gradient);
    MOE_VERB(copy);
    MOE_VERB(fill);
    MOE_VERB(add);
    MOE_VERB(copy_in);
    MOE_VERB(copy_out);
#undef MOE_VERB
};

// Whether B runs these parts.
template <class B, class T, class... Parts>
constexpr bool runs_on() {
    if constexpr (host_readable<B>) return true;
    else return std::is_void_v<typename first_plain_part<Parts...>::type> && missing_verb<B, T>() == verb::none;
}

// One error that says why not.
template <class B, class T, class... Parts>
constexpr void require_runs_on() {
    if constexpr (!host_readable<B>) {
        constexpr verb missing = missing_verb<B, T>();
        (void)sizeof(verbs_of_backend<typename B::tag, missing>);
        using plain = typename first_plain_part<Parts...>::type;
        if constexpr (missing == verb::none) (void)sizeof(part_on_backend<B, plain>);
    }
}

// Throws if a weight lies in other memory than the backend's.
template <class B, class Model>
void require_weights_of(const Model& model) {
    if constexpr (!host_readable<B>) {
        const auto look = [](const parameter_name& name, const auto& tensor) {
            require_space("", name, tensor, space_of<typename B::memory>);
        };
        visit_parameters(look, model);
        visit_state(look, model);
    }
}

// x and y of a backend with memory of its own come from there.
template <class B, class T, class... X>
constexpr void require_views() {
    static_assert(host_readable<B> || (std::is_convertible_v<X&, matrix_view<const T>> && ...),
                  "moe: unsuitable backend: it has memory of its own; bring x there with moe::copy_to(backend, matrix) "
                  "and pass that matrix, or views of such memory");
}

}  // namespace detail

MOE_END
