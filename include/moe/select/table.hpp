// select: token ids [T] (or labels [T]) -> choice [T,K], experts read from a table
// SPDX-License-Identifier: Apache-2.0
//
// `token_table` reads row batch.token_id[t], `label_table` row batch.label[t]. The weights are the live scores.
// Source: hash layers (Roller et al. 2021), hash layers of DeepSeek-V4; label_table: LoRA-Mixer's hard mode, ViTPose+'s
// dataset index, task and modality experts.
// order         slots as in the table; -1 is an empty slot; a key of -inf is excluded even here (slot -1)
// errors        value_error for an expert out of [-1, E) or twice in a row, and for an id outside of the table
// cost          O(T K), no scratch; the check reads every id
// determinism   a pure function of the token's id, and of which of its keys are -inf
#pragma once

#include <algorithm>

#include "moe/backend/kernels.hpp"
#include "moe/core/order.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

namespace detail {

template <unsigned Need>
struct table_selector {
    using role = selector_step;
    static constexpr const char* name = Need == needs_token_id ? "token_table" : "label_table";
    static constexpr bool expert_equivariant = false;
    static constexpr unsigned needs = Need;

    matrix<index_t> experts_of;  // [ids, K]

    template <class T>
    void check(const batch<T>& in, index_t columns, index_t) const {
        const auto own = [](const char* what) { return std::string(name) + what; };
        if (experts_of.cols() > columns) {
            throw_shape(own(".experts_of"), std::string("at most ") + std::to_string(columns) + " columns (experts)",
                        shape_text(experts_of.view()));
        }
        // The table holds for good once it has been seen with the gate; ids change with every call.
        if (in.tokens() == 0) return check_table(columns);
        const std::span<const index_t> ids = ids_of(in);
        for (std::size_t t = 0; t < ids.size(); ++t) {
            if (!in.live(static_cast<index_t>(t)) || (ids[t] >= 0 && ids[t] < experts_of.rows())) continue;
            throw_value(own(": id of token ") + std::to_string(t), std::string("0 to ") + std::to_string(experts_of.rows() - 1),
                        std::to_string(ids[t]));
        }
    }

    template <class T>
    std::int64_t width(const batch<T>&, index_t) const {
        return experts_of.cols();
    }

    template <class B, class T>
    void forward(B& b, const routing<T>& s, choice c) const {
        const batch<T>& in = s.in();
        kernels_of<B>::for_rows(b, s.tokens(), [=, keys = s.keys, table = experts_of.view(), ids = ids_of(in),
                                                mask = in.mask](index_t t) {
            const bool live = mask.empty() || mask[std::size_t(t)] != 0;
            for (index_t k = 0; k < table.cols; ++k) {
                const index_t e = live ? table(ids[std::size_t(t)], k) : -1;
                c.expert[std::size_t(c.offset[std::size_t(t)] + k)] = e >= 0 && !excluded(keys(t, e)) ? e : -1;
            }
        });
    }

private:
    template <class T>
    static std::span<const index_t> ids_of(const batch<T>& in) {
        return Need == needs_token_id ? in.token_id : in.label;
    }

    void check_table(index_t columns) const {
        for (index_t i = 0; i < experts_of.rows(); ++i) {
            const std::span<const index_t> row = experts_of.view()[i];
            for (std::size_t k = 0; k < row.size(); ++k) {
                const auto here = row.begin() + std::ptrdiff_t(k);
                const bool twice = row[k] >= 0 && std::find(row.begin(), here, row[k]) != here;
                if (row[k] >= -1 && row[k] < columns && !twice) continue;
                throw_value(std::string(name) + ".experts_of(" + std::to_string(i) + ", " + std::to_string(k) + ")",
                            twice ? "an expert the row has not got yet" : std::string("-1 to ") + std::to_string(columns - 1),
                            std::to_string(row[k]));
            }
        }
    }
};

}  // namespace detail

using token_table = detail::table_selector<needs_token_id>;
using label_table = detail::table_selector<needs_label>;

MOE_END
