// select: keys [T,E] -> choice [T,2], the best expert and, by policy, a second one
// SPDX-License-Identifier: Apache-2.0
//
//     all        second = best of the others
//     sampling   second = best of the others by logit + Gumbel noise: a draw from their softmax
//     random     as all, kept with probability min(1, 2 * score of the second)
//
// Source: GShard 2020 (random), fairseq's and NLLB's top-2 gate (second_expert_policy).
// order         of core/order; -inf is excluded (slot -1)
// noise         only while training, unless `always`; a pure function of (seed, step, global token, expert)
// errors        value_error if E is below 2 or batch.k is set to anything but 2
// cost          O(T E), no scratch
// determinism   for given seed and step: a pure function of the token's keys, logits and global number
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/rng.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

enum class second_expert { all, sampling, random };

struct first_and_second {
    using role = selector_step;
    static constexpr const char* name = "first_and_second";

    second_expert policy = second_expert::all;
    bool always = false;  // draw outside of training as well

    part_traits traits() const { return {.stochastic = policy != second_expert::all}; }

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        if (columns < 2) throw_value("first_and_second: experts", "at least 2", std::to_string(columns));
        if (in.k != 0 && in.k != 2) throw_value("batch.k", "2 (first_and_second)", std::to_string(in.k));
    }

    template <class T>
    std::int64_t width(const batch<T>&, index_t) const {
        return 2;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        const batch<T>& in = s.in();
        const random_stream random(in.seed, stream_id("first_and_second"), in.step);
        const second_expert rule = in.training || always ? policy : second_expert::all;
        kernels_of<B>::for_rows(b, s.tokens(), [=, keys = s.keys, logits = s.logits, scores = s.scores,
                                                first_token = in.first_token](index_t t) {
            index_t* expert = c.expert.data() + std::ptrdiff_t(t) * 2;
            const std::uint64_t token = first_token + std::uint64_t(t);
            expert[0] = next_best_of_row(keys.row(t), keys.cols, -1);
            if (rule == second_expert::sampling) {
                expert[1] = drawn(keys.row(t), logits.row(t), keys.cols, expert[0], random, token);
                return;
            }
            expert[1] = expert[0] < 0 ? -1 : next_best_of_row(keys.row(t), keys.cols, expert[0]);
            if (rule == second_expert::all || expert[1] < 0) return;
            const T u = T(random.uniform(token, std::uint32_t(keys.cols)));
            if (!(T(2) * scores(t, expert[1]) > u)) expert[1] = -1;
        });
    }

private:
    template <class T>
    MOE_FN static index_t drawn(const T* key, const T* logit, index_t columns, index_t first, const random_stream& random,
                                std::uint64_t token) {
        index_t best = -1;
        T best_key = T(0);
        for (index_t e = 0; e < columns; ++e) {
            if (e == first || excluded(key[e])) continue;
            const T noisy = logit[e] + T(random.gumbel(token, std::uint32_t(e)));
            if (excluded(noisy) || (best >= 0 && !ranks_before(noisy, e, best_key, best))) continue;
            best = e;
            best_key = noisy;
        }
        return best;
    }
};

MOE_END
