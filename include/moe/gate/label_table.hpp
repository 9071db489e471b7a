// gate: label -> logits [T,E], a learned row per label
// SPDX-License-Identifier: Apache-2.0
//
//     logits[t] = table[batch.label[t]]
//
// Source: task-level routing: Poly and multi-head adapter routing (Ponti et al. 2023, Caccia et al. 2023), multi-gate
// models. A label that was never trained keeps its row of zeros: equal scores for all experts.
// parameters    table [L,E], zeros at first
// needs         batch.label; labels of padding are not read, logits of padding are 0
// errors        value_error unless features, labels and experts are positive, and for a label outside [0, L)
// gradient      d_table[l] += sum over the tokens with label l of d_logits; features get none
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/init.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct label_table_gate_options {
    index_t features = 0;  // of the batch; not read
    index_t labels = 0;
    index_t experts = 0;
};

template <class T>
struct label_table_gate {
    using role = gate_step;
    using scalar = T;
    static constexpr const char* name = "label_table_gate";
    static constexpr unsigned needs = needs_label;

    matrix<T> table;  // [L,E]

    label_table_gate(label_table_gate_options o) : features_(o.features) {
        detail::require_positive("label_table_gate.features", o.features);
        detail::require_positive("label_table_gate.labels", o.labels);
        detail::require_positive("label_table_gate.experts", o.experts);
        table = matrix<T>(o.labels, o.experts);
    }

    index_t features() const { return features_; }
    index_t columns() const { return table.cols(); }

    void check(const batch<T>& in, index_t, index_t) const {
        for (std::size_t t = 0; t < in.label.size(); ++t) {
            const index_t label = in.label[t];
            if (!in.live(static_cast<index_t>(t)) || (label >= 0 && label < table.rows())) continue;
            throw_value(std::string("batch.label[") + std::to_string(t) + "]",
                        std::string("0 to ") + std::to_string(table.rows() - 1), std::to_string(label));
        }
    }

    template <class B>
    void forward(B& b, const routing<T>& s, matrix_view<T> logits) const {
        kernels_of<B>::for_rows(b, s.tokens(), [=, in = s.in(), rows = table.view()](index_t t) {
            const T* row = in.live(t) ? rows.row(in.label[static_cast<std::size_t>(t)]) : nullptr;
            for (index_t e = 0; e < logits.cols; ++e) logits(t, e) = row == nullptr ? T(0) : row[e];
        });
    }

    template <class B>
    void backward(B& b, const routing<T>& before, const routing<T>&, adjoint<T>& d, label_table_gate& g) const {
        kernels_of<B>::for_rows(b, columns(),
                                [in = before.in(), d_logits = d.logits, d_table = g.table.view()](index_t e) {
                                    for (index_t t = 0; t < d_logits.rows; ++t) {
                                        if (in.live(t))
                                            d_table(in.label[static_cast<std::size_t>(t)], e) += d_logits(t, e);
                                    }
                                });
    }

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("table", p.table...);
    }

private:
    index_t features_;
};

MOE_END
