// experts/quantization_report: what fewer bits cost every expert of a bank
// SPDX-License-Identifier: Apache-2.0
//
// Errors are those of the weights: both banks multiply in float, so the rounding of activations
// is not in them. NaN where there is nothing to compare with: no rows, or outputs or weights that are all 0.
#pragma once

#include "moe/metrics/text_table.hpp"

MOE_BEGIN

enum class scale_origin { nearest, searched };

struct quantization_error {
    index_t rows = 0;           // routes of the calibration batch
    double output_error = 0;    // ||Y - Y'|| / ||Y||, Frobenius norms over these rows
    double weight_error = 0;    // ||W - W'|| / ||W|| over all matrices
    double worst_group = 0;     // the largest ||w - w'|| / ||w|| of a group of inputs
    double bits_per_weight = 0;  // scales and padding included
    scale_origin scales = scale_origin::nearest;
};

struct quantization_report {
    std::vector<quantization_error> experts;

    // A row for every expert. An expert without rows has no output error, and says that it was rounded unseen.
    std::string text() const {
        text_table table({{.title = "expert"},
                          {.title = "routes"},
                          {.title = "output error", .unit = "%", .digits = 2},
                          {.title = "weight error", .unit = "%", .digits = 2},
                          {.title = "worst group", .unit = "%", .digits = 2},
                          {.title = "bits per weight", .digits = 2},
                          {.title = "scales", .left = true}});
        for (std::size_t e = 0; e < experts.size(); ++e) {
            const quantization_error& x = experts[e];
            const table_cell output = x.rows == 0 ? table_cell("") : table_cell(100 * x.output_error);
            table.row({e, x.rows, output, 100 * x.weight_error, 100 * x.worst_group, x.bits_per_weight, origin(x)});
        }
        return table.text();
    }

private:
    static const char* origin(const quantization_error& x) {
        if (x.scales == scale_origin::searched) return "searched";
        return x.rows == 0 ? "nearest, no routes" : "nearest";
    }
};

MOE_END
