// testing/make_subject: a part of any role behind the one type that laws see, and the shape of its inputs
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "moe/testing/choice_laws.hpp"
#include "moe/testing/generators.hpp"
#include "moe/testing/run_layer.hpp"

MOE_BEGIN
namespace testing {

struct law_options {
    std::uint64_t seed = 1;
    index_t experts = 5;   // columns of the scores, for parts that do not fix it
    index_t features = 3;  // columns of x, for parts that do not fix it
    index_t slots = 2;     // routes per token, for parts that take routes
    index_t k = 0;         // batch.k in half of the inputs
    index_t token_ids = 5, labels = 2;
    side_kind side = side_kind::none;
    std::vector<sample> recorded = {};  // the user's own inputs, tried first
};

namespace detail {

template <class Part>
constexpr auto role_of() {
    if constexpr (requires { typename Part::role; })
        return typename Part::role{};
    else if constexpr (requires(const Part& p) { p.features(), p.outputs(), p.make_gradient(); })
        return layer_role{};
    else
        return loss_role{};
}
template <class Part>
using role_t = decltype(role_of<Part>());

template <class Part, class T>
constexpr bool runs_in() {
    if constexpr (requires { typename Part::scalar; })
        return std::is_same_v<typename Part::scalar, T>;
    else if constexpr (moe::detail::router_step_part<Part>)
        return !std::is_void_v<moe::detail::written_t<Part, reference, T>>;
    else
        return true;
}
// The scalar to try a part in: U unless that is void.
template <class U, class Part>
using scalar_t = std::conditional_t<!std::is_void_v<U>, U, std::conditional_t<runs_in<Part, double>(), double, float>>;

template <class Part, class T, class Role>
constexpr bool has_gradient() {
    if constexpr (!std::is_same_v<T, double> || std::is_same_v<Role, key_step>)
        return false;
    else if constexpr (std::is_same_v<Role, selector_step>)
        return moe::detail::weighs<Part, reference, T>;
    else
        return true;
}

// Runs the part on backend `c.backend`, the reference first; parts without a gradient never see `d`.
template <class T, class Part, class... Others>
outcome run_subject(const Part& part, const sample& s, const call& c, derivatives* d, Others&... others) {
    using role = role_t<Part>;
    outcome o;
    const auto on = [&](auto& b) {
        stage<T> g(s, c);
        poison(b.scratch(), c.poison);
        arena_frame frame(b.scratch());
        if constexpr (has_gradient<Part, T, role>())
            run_part(role{}, b, part, g, o, d);
        else
            run_part(role{}, b, part, g, o, static_cast<derivatives*>(nullptr));
        if (o.fault.empty()) o.fault = g.changed(s);
    };
    try {
        std::size_t place = 1;
        reference first;
        if (c.backend == 0) on(first);
        ((c.backend == place++ ? on(others) : void()), ...);
    } catch (const shape_error& e) {
        o.refused = e.what();
    } catch (const value_error& e) {
        o.refused = e.what();
    } catch (const std::exception& e) {
        o.fault = std::string("throws: ") + e.what();
    }
    return o;
}

template <class Role, class Part, class T>
void describe(subject& p) {
    if constexpr (std::is_same_v<Role, gate_step> || std::is_same_v<Role, router_part>) p.reads = {"x", ""};
    if constexpr (std::is_same_v<Role, score_step>) p.reads = {"", "scores"};
    if constexpr (std::is_same_v<Role, key_step>) p.reads = {"", "keys"};
    if constexpr (std::is_same_v<Role, selector_step>) {
        p.reads = {"", "keys"};
        p.chooses = true;
    }
    if constexpr (std::is_same_v<Role, route_step>) {
        p.reads = {"", "scores"};
        using X = moe::detail::written_t<Part, reference, T>;
        p.drops_only = std::is_same_v<X, choice>;
        p.keeps_choice = std::is_same_v<X, std::span<T>>;
    }
    if constexpr (std::is_same_v<Role, experts_part>) p.reads = {"x", "weights"};
    if constexpr (std::is_same_v<Role, combine_part>) {
        p.reads = {"rows", "weights"};
        p.linear = true;
    }
    if constexpr (std::is_same_v<Role, shared_part>) p.reads = {"x", "routed"};
    if constexpr (std::is_same_v<Role, layer_role>) p.reads = {"x", ""};
    if constexpr (std::is_same_v<Role, loss_role>) {
        p.reads = {"scores", "logits"};
        p.token_rows = false;
    }
    p.makes_keys =
        std::is_same_v<Role, gate_step> || std::is_same_v<Role, score_step> || std::is_same_v<Role, key_step>;
    p.clears_masked =
        std::is_same_v<Role, combine_part> || std::is_same_v<Role, shared_part> || std::is_same_v<Role, layer_role>;
    p.trains = has_gradient<Part, T, Role>();
    p.tolerance = std::is_same_v<T, double> ? 1e-10 : 1e-4;
}

template <class Part>
std::string part_name() {
    if constexpr (requires { std::string(Part::name); })
        return Part::name;
    else
        return "the part";
}

// The part is copied: its parameters are moved by the central differences.
template <class T, class Part, class... Others>
subject make_subject(const Part& given, Others&... others) {
    using role = role_t<Part>;
    const auto part = std::make_shared<Part>(given);
    subject p;
    p.name = part_name<Part>();
    p.traits = traits_of(given);
    describe<role, Part, T>(p);
    p.run = [part, &others...](const sample& s, const call& c, derivatives* d) {
        return run_subject<T>(*part, s, c, d, others...);
    };
    p.parameters = [part] {
        std::vector<named_values> all;
        if constexpr (has_parameters<Part> && std::is_same_v<T, double>) {
            visit_parameters(
                [&](const parameter_name& name, auto& values) {
                    if constexpr (requires { std::span<double>(flat(values)); })
                        all.push_back({name.text(), flat(values)});
                    else
                        all.push_back({name.text(), {}});
                },
                *part);
        }
        return all;
    };
    const void* kinds[] = {nullptr, &moe::detail::record_type<Others>...};
    for (std::size_t i = 1; i <= sizeof...(Others); ++i) {
        std::size_t first = 1;
        while (kinds[first] != kinds[i]) ++first;
        p.backend_kind.push_back(first);
    }
    if constexpr (std::is_same_v<role, route_step> && requires {
                      capacity_options{given.options};
                  }) {
        p.capacity = [part](const sample& s, const outcome& o) { return capacity_fault(*part, s, o); };
    }
    return p;
}

template <class Part>
sample_shape shape_of(const Part& part, const law_options& o) {
    using role = role_t<Part>;
    sample_shape shape{o.experts, 0, 0, o.side, o.token_ids, o.labels, o.k};
    if constexpr (std::is_same_v<role, gate_step> || std::is_same_v<role, router_part> ||
                  std::is_same_v<role, layer_role>) {
        shape.experts = 0;
    }
    if constexpr (requires { part.features(); }) shape.features = part.features();
    if constexpr (std::is_same_v<role, score_step> || std::is_same_v<role, key_step>) shape.features = o.features;
    if constexpr (std::is_same_v<role, shared_part>) shape.experts = part.outputs();
    if constexpr (std::is_same_v<role, route_step> || std::is_same_v<role, loss_role>) shape.slots = o.slots;
    if constexpr (std::is_same_v<role, experts_part>) {
        shape.experts = part.experts();
        shape.slots = std::min(o.slots, part.experts());
    }
    if constexpr (std::is_same_v<role, combine_part>) {
        shape.slots = o.slots;
        shape.features = o.slots * o.features;
    }
    if constexpr (std::is_same_v<role, loss_role>) {
        shape.features = o.experts;
        shape.positive_x = true;
    }
    // Kinds of scores matter to what reads scores; what computes more is tried on fewer inputs.
    if constexpr (!moe::detail::router_step_part<Part> && !std::is_same_v<role, loss_role>) {
        shape.most_tokens = 9;
        shape.every_kind = false;
    }
    return shape;
}

}  // namespace detail

}  // namespace testing
MOE_END
