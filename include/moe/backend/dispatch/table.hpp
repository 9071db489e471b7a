// backend/dispatch: what crosses between a program and kernels compiled for another instruction set
// SPDX-License-Identifier: Apache-2.0
//
// Plain data and pointers, no functions, outside of the namespace that names an instruction set: every translation unit
// has the same types, whatever its flags, and none emits code for them. One level is one translation unit that
// defines one symbol, a `table`; cmake/dispatch.cmake makes the others local to it.
//
// A verb takes what `open` gave, which one thread uses at a time, and pointers to its arguments; those that may be
// missing have null data. Weights lie as in core/panels.hpp and core/quantized_panels.hpp. A verb throws std::bad_alloc
// where scratch cannot grow, and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "moe/core/version.hpp"

// Names a symbol of this version, so that two versions in one program do not meet.
#define MOE_CROSSING_JOIN_(name, major, minor) name##_v##major##_##minor
#define MOE_CROSSING_JOIN(name, major, minor) MOE_CROSSING_JOIN_(name, major, minor)
#define MOE_CROSSING_SYMBOL(name) MOE_CROSSING_JOIN(name, MOE_VERSION_MAJOR, MOE_VERSION_MINOR)

namespace moe::crossing {
inline namespace MOE_CROSSING_SYMBOL(layout) {

using index = std::int32_t;

// Elements are of the scalar that a verb is for.
struct matrix {
    void* data;
    index rows;
    index columns;
    std::ptrdiff_t stride;
};

struct indices {
    const index* data;
    std::size_t size;
};

struct row_groups {
    indices offset;
    indices gather;
};

struct plan {
    index tokens;
    indices offset, token, slot, row, token_offset, token_row, row_begin;
};

struct weights {
    void* data;
    std::size_t elements;  // padding included; bytes of codes and scales
    index groups, outputs, inputs;
};

// A value of the type with this number among those that both sides know.
struct activation {
    index number;
    double value[2];
};

// Threads of the program: run calls task(job, i) once for every i in [0, count) and returns when all calls have.
struct team {
    index threads;
    void* object;
    void (*run)(void* object, index count, void (*task)(const void* job, index i), const void* job);
};

// Verbs for a scalar with weights in one format.
struct products {
    void (*linear)(void* state, const row_groups* rows, const matrix* a, const weights* w, const matrix* bias,
                   const matrix* c);
    void (*activation)(void* state, const row_groups* rows, const matrix* a, const weights* w, const matrix* bias,
                       const crossing::activation* act, const matrix* h, const matrix* z);
    void (*gated_activation)(void* state, const row_groups* rows, const matrix* a, const weights* w_gate,
                             const weights* w_up, const matrix* bias_gate, const matrix* bias_up,
                             const crossing::activation* act, const matrix* h, const matrix* z_gate,
                             const matrix* z_up);
    void (*input_gradient)(void* state, const row_groups* rows, const matrix* dc, const weights* w, const matrix* da,
                           index accumulate);
};

// Verbs for a scalar.
struct sums {
    void (*weight_gradient)(void* state, const row_groups* rows, const matrix* dc, const matrix* a, const weights* dw);
    void (*weighted_sum)(void* state, const plan* p, const matrix* rows, const void* weight, std::size_t weight_count,
                         const matrix* y, index accumulate);
};

// What a table has verbs for: new ones go to the end.
enum scalar : index { float_scalar, double_scalar, scalar_count };
enum format : index {
    float_weights,
    double_weights,
    bf16_weights,
    f16_weights,
    int8_weights,       // in groups of 32 inputs, as those below
    int4_weights,
    int4_zero_weights,  // with zero points
    format_count
};

struct table {
    const char* level;  // as cmake/dispatch.cmake calls it
    const char* isa;    // as moe::build_info() calls it
    const char* bf16;
    const char* codes;
    void* (*open)(const team*);  // the team is copied
    void (*close)(void* state);
    products product[format_count];
    sums sum[scalar_count];
};

}  // namespace MOE_CROSSING_SYMBOL(layout)
}  // namespace moe::crossing

// The levels that moe_add_dispatch compiled for this program, the most demanding one last, then a null pointer.
extern "C" const moe::crossing::table* const* MOE_CROSSING_SYMBOL(moe_dispatch_levels)();
