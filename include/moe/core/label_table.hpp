// core/label_table: a table [L,E] of which each token sees the row of its label
// SPDX-License-Identifier: Apache-2.0
//
// A table of one row holds for all tokens and needs no labels. Labels of padding are neither checked nor read.
#pragma once

#include "moe/core/batch.hpp"
#include "moe/core/storage.hpp"

MOE_BEGIN

namespace detail {

// The row of every token; copied into row programs.
class label_rows {
public:
    label_rows(matrix_view<const std::uint8_t> table, std::span<const index_t> label,
               std::span<const std::uint8_t> mask)
        : table_(table), label_(label), mask_(mask) {}

    // Null for padding.
    MOE_FN const std::uint8_t* of(index_t t) const {
        const std::size_t i = static_cast<std::size_t>(t);
        if (!mask_.empty() && mask_[i] == 0) return nullptr;
        return table_.row(table_.rows == 1 ? 0 : label_[i]);
    }

private:
    matrix_view<const std::uint8_t> table_;
    std::span<const index_t> label_;
    std::span<const std::uint8_t> mask_;
};

// `option` is the name of the table in messages.
template <class T>
void check_label_table(const char* option, const matrix<std::uint8_t>& table, const batch<T>& in, index_t columns) {
    if (table.rows() < 1 || table.cols() != columns) {
        throw_shape(option, std::string("[labels, ") + std::to_string(columns) + "]", shape_text(table.view()));
    }
    if (table.rows() == 1) return;
    if (in.label.size() != static_cast<std::size_t>(in.tokens())) {
        throw_value(option,
                    std::string("batch.label [T], because the table has ") + std::to_string(table.rows()) + " rows",
                    "a batch without it");
    }
    for (index_t t = 0; t < in.tokens(); ++t) {
        const index_t label = in.label[static_cast<std::size_t>(t)];
        if (!in.live(t) || (label >= 0 && label < table.rows())) continue;
        throw_value(std::string("batch.label[") + std::to_string(t) + "]",
                    std::string("0 to ") + std::to_string(table.rows() - 1), std::to_string(label));
    }
}

}  // namespace detail

MOE_END
