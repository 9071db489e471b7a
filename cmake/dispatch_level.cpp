// The kernels of moe::cpu for one level of an instruction set, as a table of functions: compiled once for each level
// SPDX-License-Identifier: Apache-2.0
//
// cmake/dispatch.cmake gives the flags of the level, and its name, instruction set and symbol as MOE_DISPATCH_LEVEL,
// MOE_DISPATCH_ISA and MOE_DISPATCH_TABLE.
#include "moe/backend/cpu.hpp"
#include "moe/backend/dispatch/activations.hpp"
#include "moe/backend/dispatch/conversions.hpp"
#include "moe/core/build_info.hpp"
#include "moe/experts/clamped_activation.hpp"

MOE_BEGIN

namespace detail {

// An activation whose number is known when it runs. The loop over elements is chosen once for a tile: the loops are those
// of forward.hpp for each activation, so results are as well.
struct numbered_activation {
    crossing::activation act;
};

template <class T>
void activate_numbered(T* z, std::ptrdiff_t count, const numbered_activation& act) {
    with_activation(crossing_activations{}, act.act, [&](const auto& known) { activate(z, count, known); });
}
template <>
inline void activate(float* z, std::ptrdiff_t count, const numbered_activation& act) {
    activate_numbered(z, count, act);
}
template <>
inline void activate(double* z, std::ptrdiff_t count, const numbered_activation& act) {
    activate_numbered(z, count, act);
}

template <class T>
void activate_gated_numbered(T* gate, const T* up, std::ptrdiff_t count, const numbered_activation& act) {
    with_activation(crossing_gated_activations{}, act.act,
                    [&](const auto& known) { activate_gated(gate, up, count, known); });
}
template <>
inline void activate_gated(float* gate, const float* up, std::ptrdiff_t count, const numbered_activation& act) {
    activate_gated_numbered(gate, up, count, act);
}
template <>
inline void activate_gated(double* gate, const double* up, std::ptrdiff_t count, const numbered_activation& act) {
    activate_gated_numbered(gate, up, count, act);
}

// What `open` gives: a moe::cpu on the program's threads, with scratch of its own.
class level_state {
public:
    explicit level_state(const crossing::team& team) : team_(team), cpu_(on_pool{team.threads, *this}) {}
    level_state(const level_state&) = delete;
    level_state& operator=(const level_state&) = delete;

    static cpu& of(void* state) { return static_cast<level_state*>(state)->cpu_; }

    void operator()(index_t count, const pool_task& task) const {
        const auto call = [](const void* job, crossing::index i) { (*static_cast<const pool_task*>(job))(i); };
        team_.run(team_.object, count, call, &task);
    }

private:
    crossing::team team_;
    cpu cpu_;
};

template <class T, class W>
struct crossing_products {
    using verbs = kernels<cpu_tag>;

    static void linear(void* state, const crossing::row_groups* rows, const crossing::matrix* a,
                       const crossing::weights* w, const crossing::matrix* bias, const crossing::matrix* c) {
        const W weights = from_crossing<W>(*w);
        verbs::grouped_linear<cpu, T>(level_state::of(state), from_crossing(*rows), from_crossing<const T>(*a), weights,
                                      from_crossing<const T>(*bias), from_crossing<T>(*c));
    }

    static void activation(void* state, const crossing::row_groups* rows, const crossing::matrix* a,
                           const crossing::weights* w, const crossing::matrix* bias, const crossing::activation* act,
                           const crossing::matrix* h, const crossing::matrix* z) {
        const W weights = from_crossing<W>(*w);
        verbs::grouped_activation<cpu, T>(level_state::of(state), from_crossing(*rows), from_crossing<const T>(*a),
                                          weights, from_crossing<const T>(*bias), numbered_activation{*act},
                                          from_crossing<T>(*h), from_crossing<T>(*z));
    }

    static void gated_activation(void* state, const crossing::row_groups* rows, const crossing::matrix* a,
                                 const crossing::weights* w_gate, const crossing::weights* w_up,
                                 const crossing::matrix* bias_gate, const crossing::matrix* bias_up,
                                 const crossing::activation* act, const crossing::matrix* h,
                                 const crossing::matrix* z_gate, const crossing::matrix* z_up) {
        const W gate = from_crossing<W>(*w_gate), up = from_crossing<W>(*w_up);
        verbs::grouped_gated_activation<cpu, T>(
            level_state::of(state), from_crossing(*rows), from_crossing<const T>(*a), gate, up,
            from_crossing<const T>(*bias_gate), from_crossing<const T>(*bias_up), numbered_activation{*act},
            from_crossing<T>(*h), from_crossing<T>(*z_gate), from_crossing<T>(*z_up));
    }

    static void input_gradient(void* state, const crossing::row_groups* rows, const crossing::matrix* dc,
                               const crossing::weights* w, const crossing::matrix* da, crossing::index accumulate) {
        const W weights = from_crossing<W>(*w);
        verbs::grouped_input_gradient<cpu, T>(level_state::of(state), from_crossing(*rows), from_crossing<const T>(*dc),
                                              weights, from_crossing<T>(*da), accumulate != 0);
    }

    static constexpr crossing::products table() { return {linear, activation, gated_activation, input_gradient}; }
};

template <class T>
struct crossing_sums {
    using verbs = kernels<cpu_tag>;

    static void weight_gradient(void* state, const crossing::row_groups* rows, const crossing::matrix* dc,
                                const crossing::matrix* a, const crossing::weights* dw) {
        panels<T> gradient = from_crossing<panels<T>>(*dw);
        verbs::grouped_weight_gradient<cpu, T>(level_state::of(state), from_crossing(*rows),
                                               from_crossing<const T>(*dc), from_crossing<const T>(*a), gradient);
    }

    static void weighted_sum(void* state, const crossing::plan* p, const crossing::matrix* rows, const void* weight,
                             std::size_t weight_count, const crossing::matrix* y, crossing::index accumulate) {
        verbs::weighted_sum<cpu, T>(level_state::of(state), from_crossing(*p), from_crossing<const T>(*rows),
                                    std::span<const T>(static_cast<const T*>(weight), weight_count),
                                    from_crossing<T>(*y), accumulate != 0);
    }

    static constexpr crossing::sums table() { return {weight_gradient, weighted_sum}; }
};

constexpr crossing::table level_table(const char* level) {
    return {level,
            build_info().isa,
            build_info().bf16,
            build_info().codes,
            [](const crossing::team* team) -> void* { return new level_state(*team); },
            [](void* state) { delete static_cast<level_state*>(state); },
            {crossing_products<float, panels<float>>::table(), crossing_products<double, panels<double>>::table(),
             crossing_products<float, bf16_panels>::table(), crossing_products<float, f16_panels>::table(),
             crossing_products<float, int8_panels<32>>::table(), crossing_products<float, int4_panels<32>>::table(),
             crossing_products<float, int4_zero_panels<32>>::table()},
            {crossing_sums<float>::table(), crossing_sums<double>::table()}};
}

}  // namespace detail

MOE_END

static_assert(std::string_view(moe::build_info().isa) == MOE_DISPATCH_ISA,
              "moe_add_dispatch: flags of the project turn this level into one for another instruction set");

extern "C" {
extern const moe::crossing::table MOE_DISPATCH_TABLE;
const moe::crossing::table MOE_DISPATCH_TABLE = moe::detail::level_table(MOE_DISPATCH_LEVEL);
}
