// backend/kernels: the verbs that parts call, and the table that a backend's tag selects
// SPDX-License-Identifier: Apache-2.0
//
// `kernels<Tag>` holds every verb as a static function template whose first argument is the backend object. A backend
// whose memory the host can read inherits from `kernels<reference_tag>` and overrides what it does better; one with
// memory of its own defines all of them. Parts call `kernels_of<B>::verb(b, ...)` and never know which backend runs them.
// Verbs are noexcept in effect: they throw only where scratch has to grow or a device fails.
//
// A backend object has `using tag`, `using memory` (core/storage: where x, y, weights, scratch and tapes lie) and
// `arena& scratch()`, an arena in that memory. The offsets of groups are always in host memory, as are the spans on the
// host's side of copy_in and copy_out; every other view points into the backend's memory, which parts touch through
// verbs only.
//
// Letters: G groups (experts), N outputs, K inputs of a weight, R rows, T tokens. Row r of a group reads input row
// gather[r] (r itself where gather is empty), for r in [offset[g], offset[g+1]).
//
//   verb                        reads                                   writes
//   for_rows                    n, program                              program(i) for i in [0,n), each once, in any order
//   grouped_linear              A [*,K], W [G,N,K], bias [G,N]|-        C [R,N]   = A W^T + bias
//   grouped_activation          A, W, bias, activation                  H [R,N]   = act(A W^T + bias), Z [R,N]|- the argument
//   grouped_gated_activation    A, Wg, Wu, biases, activation           H [R,N]   = act(g, u), Zg, Zu [R,N]|-
//   grouped_input_gradient      dC [R,N], W                             dA [R,K]  = or += dC W
//   grouped_weight_gradient     dC [R,N], A [*,K]                       dW [G,N,K] += dC^T A
//   grouped_bias_gradient       dC [R,N]                                db [G,N]  += column sums of dC
//   activation_gradient         Z, dH, activation                       dZ, in place of dH
//   gated_activation_gradient   Zg, Zu, dH, activation                  dZg, dZu
//   build_plan                  routes, experts                         plan
//   weighted_sum                plan, rows [R,N], weight [slots]|-      y [T,N]   = or += sum of weight * row, ascending row
//   weighted_sum_gradient       plan, rows, weight, dy [T,N]            d_rows [R,N], d_weight [slots] +=
//   copy, fill, add             matrices                                a matrix
//   copy_in, copy_out           a span of the host | of the backend     a span of the backend | of the host, at once
//
// W is any container of weights (core/panels.hpp): panels<T>, or a short format that backends decode. A product sums in
// T; with weights in bfloat16 it rounds A to bfloat16 (as_input). The input gradient takes the decoded weights and dC as
// it is. Weight gradients are panels<T>.
//
// Sums over K and N run in one stated order inside a backend, whatever the number of rows or threads. Sums over rows
// (weight and bias gradients) run in ascending row order, split by output.
#pragma once

#include "moe/core/panels.hpp"
#include "moe/core/plan.hpp"
#include "moe/core/routes.hpp"

MOE_BEGIN

template <class Tag>
struct kernels;

template <class B>
using kernels_of = kernels<typename B::tag>;

struct reference_tag {};

// What the grouped products of T with weights W run on in backend B, in words; which weights have vector kernels is the
// backend's own matter, so ask before a format is put to work.
template <class B, class T, class W>
const char* product_name() {
    using K = kernels_of<B>;
    if constexpr (requires { K::template product_name<T, W>(); }) return K::template product_name<T, W>();
    else return "a backend that does not say";
}

// Whether the host may read and write what lies in the memory of this backend.
template <class B>
inline constexpr bool host_readable = B::memory::host_readable;

// Called by what loops over the backend's memory on the host.
template <class B>
constexpr void require_host_readable() {
    static_assert(host_readable<B>,
                  "moe: unsuitable backend: this is a plain loop over memory that the host cannot read here; write it "
                  "with kernels_of<B>::for_rows, or take a backend whose memory the host reads");
}

// Which rows belong to which group, and which row of the input each reads.
struct row_groups {
    std::span<const index_t> offset;  // [G+1] rows of a group; need not start at 0
    std::span<const index_t> gather;  // input row of row r; empty: r itself

    index_t groups() const { return static_cast<index_t>(offset.size()) - 1; }
    index_t begin(index_t g) const { return offset[static_cast<std::size_t>(g)]; }
    index_t end(index_t g) const { return offset[static_cast<std::size_t>(g) + 1]; }
    index_t source(index_t r) const { return gather.empty() ? r : gather[static_cast<std::size_t>(r)]; }
};

// The memory of a plan, taken from an arena: R is only known once the plan is built, so everything is sized by slots.
// row_begin is offset itself where the host reads the arena's memory.
struct plan_storage {
    std::span<index_t> offset, token, slot, row, token_offset, token_row, row_begin;

    static plan_storage take(arena& a, index_t tokens, index_t experts, index_t slots) {
        const auto take = [&a](index_t count) { return a.take<index_t>(static_cast<std::size_t>(count)); };
        const std::span<index_t> offset = a.take_on_host<index_t>(static_cast<std::size_t>(experts) + 1);
        return {offset,           take(slots), take(slots), take(slots), take(tokens + 1), take(slots),
                a.space().host_readable ? offset : take(experts + 1)};
    }

    // The plan, cut to its live rows.
    plan_view view(index_t tokens) const {
        const std::size_t rows = static_cast<std::size_t>(offset.back());
        return {tokens, offset,       token.first(rows),     slot.first(rows),
                row,    token_offset, token_row.first(rows), row_begin};
    }
};

MOE_END
