// score: random experts lose their score for one step, in training only
// SPDX-License-Identifier: Apache-2.0
//
//     s'[e] = 0 for E - keep experts drawn at random, else s[e];   one draw per step, the same for every token
//
// Source: ReXMoE's progressive scaling of candidates: `keep` grows by a schedule, `protect` own experts are never drawn
// (0: all may be). Behind the score; a score of 0 ranks last, but can fill a slot where too few others are left.
// determinism   the draw is a function of (batch.seed, stream, batch.step) alone, without replacement
// off           where batch.training is false
// excluded      scores of -inf stay -inf
// errors        value_error unless 0 <= protect <= keep and 1 <= keep <= E
// gradient      0 for the experts drawn, else passes through
// cost          O(E^2) per call; scratch 2 E
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct random_expert_mask {
    using role = score_step;
    static constexpr const char* name = "random_expert_mask";
    static constexpr bool stochastic = true;

    index_t keep = 1;     // experts that keep their scores
    index_t protect = 0;  // the first ones are among them
    const char* stream = "random_expert_mask";

    template <class T>
    void check(const batch<T>&, index_t columns, index_t) const {
        if (keep < 1 || keep > columns) {
            throw_value("random_expert_mask.keep", std::string("1 to ") + std::to_string(columns),
                        std::to_string(keep));
        }
        if (protect < 0 || protect > keep) {
            throw_value("random_expert_mask.protect", std::string("0 to ") + std::to_string(keep) + " (keep)",
                        std::to_string(protect));
        }
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, matrix_view<T> scores) const {
        clear_drawn(b, s.in(), scores);
    }

    template <class B, class T>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d) const {
        clear_drawn(b, before.in(), d.scores);
    }

private:
    template <class B, class T>
    void clear_drawn(B& b, const batch<T>& in, matrix_view<T> m) const {
        if (!in.training || keep == m.cols) return;
        const random_stream random(in.seed, stream_id(stream), in.step);
        const std::span<double> draw = b.scratch().template take<double>(static_cast<std::size_t>(m.cols));
        const std::span<index_t> order = b.scratch().template take<index_t>(static_cast<std::size_t>(m.cols - keep));
        for (index_t e = 0; e < m.cols; ++e) {
            const double u = random.uniform(0, static_cast<std::uint32_t>(e));
            draw[static_cast<std::size_t>(e)] = e < protect ? -std::numeric_limits<double>::infinity() : u;
        }
        best_of_row(draw.data(), m.cols, order.data(), m.cols - keep);
        kernels_of<B>::for_rows(b, m.rows, [=](index_t t) {
            for (const index_t e : order) {
                if (!excluded(m(t, e))) m(t, e) = T(0);
            }
        });
    }
};

MOE_END
