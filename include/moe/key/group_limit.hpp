// key: experts in groups of neighbours; only the best groups take part in the choice
// SPDX-License-Identifier: Apache-2.0
//
//     group score = sum of the `best` best keys of the group
//     keys[e] stays in the `keep` best groups and becomes `fill` in the others
//
// Source: device-limited routing of DeepSeek-V2 (best 1, fill 0), node-limited routing of DeepSeek-V3 (best 2, fill
// -inf), Megatron-Core (best k / keep).
// order         groups by score descending, then lower group; NaN ranks after every finite group score
// fill          -inf excludes the other groups. 0, as some published models have it, is only right for keys that are
//               never negative: with a negative selection bias the choice leaves the kept groups
// excluded      keys of -inf take no part in a group's score and keep their -inf under any fill; a group of nothing
//               else is never kept
// errors        value_error: groups must divide the experts, keep <= groups, best <= size of a group, fill -inf or
//               finite
// cost          O(T (E best + groups keep)); scratch T (groups + keep + best)
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct group_limit {
    using role = key_step;
    static constexpr const char* name = "group_limit";
    static constexpr bool any_memory = true;

    index_t groups = 1;
    index_t keep = 1;
    index_t best = 2;
    double fill = -std::numeric_limits<double>::infinity();

    // Experts of one group stand or fall together.
    part_traits traits() const {
        return {.expert_equivariant = groups == 1,
                .excludes = excluded(fill) && keep < groups,
                .keeps_excluded = true};
    }

    template <class T>
    void check(const batch<T>&, index_t columns, index_t) const {
        if (groups < 1 || columns % groups != 0) {
            throw_value("group_limit.groups", std::string("a divisor of ") + std::to_string(columns) + " (experts)",
                        std::to_string(groups));
        }
        if (keep < 1 || keep > groups) {
            throw_value("group_limit.keep", std::string("1 to ") + std::to_string(groups) + " (groups)",
                        std::to_string(keep));
        }
        if (best < 1 || best > columns / groups) {
            throw_value("group_limit.best",
                        std::string("1 to ") + std::to_string(columns / groups) + " (experts of a group)",
                        std::to_string(best));
        }
        if (!(fill < std::numeric_limits<double>::infinity())) {
            throw_value("group_limit.fill", "-inf or a finite number", std::to_string(fill));
        }
    }

    // How many experts a token can choose from.
    index_t selectable(index_t experts) const {
        return excluded(fill) && groups >= 1 ? keep * (experts / groups) : experts;
    }

    template <class B, class T>
    void forward(B& b, const routing<T>&, matrix_view<T> keys) const {
        const index_t tokens = keys.rows;
        const matrix_view<T> score = b.scratch().template take<T>(tokens, groups);
        const matrix_view<index_t> chosen = b.scratch().template take<index_t>(tokens, std::max(keep, best));
        const group_limit options = *this;
        kernels_of<B>::for_rows(b, tokens, [=] MOE_ROW(index_t t) {
            options.limit_row(keys.row(t), keys.cols / options.groups, score.row(t), chosen.row(t));
        });
    }

private:
    // One token: `score` [groups] and `chosen` [max(keep, best)] are scratch.
    template <class T>
    MOE_FN void limit_row(T* key, index_t size, T* score, index_t* chosen) const {
        for (index_t g = 0; g < groups; ++g) score[g] = group_score(key + g * size, size, chosen);
        best_of_row(score, groups, chosen, keep);
        for (index_t g = 0; g < groups; ++g) {
            if (contains(chosen, g)) continue;
            for (index_t e = g * size; e < (g + 1) * size; ++e) {
                if (!excluded(key[e])) key[e] = static_cast<T>(fill);
            }
        }
    }

    template <class T>
    MOE_FN T group_score(const T* key, index_t size, index_t* chosen) const {
        best_of_row(key, size, chosen, best);
        if (chosen[0] < 0) return -std::numeric_limits<T>::infinity();
        T sum = T(0);
        for (index_t i = 0; i < best && chosen[i] >= 0; ++i) sum += key[chosen[i]];
        return sum;
    }

    MOE_FN bool contains(const index_t* chosen, index_t group) const {
        for (index_t i = 0; i < keep; ++i) {
            if (chosen[i] == group) return true;
        }
        return false;
    }
};

MOE_END
