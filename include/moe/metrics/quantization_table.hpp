// metrics/quantization_table: a quantization report as an aligned table
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/experts/quantization_report.hpp"
#include "moe/metrics/text_table.hpp"

MOE_BEGIN

// A row for every expert. An expert without rows has no output error, and says that it was rounded unseen.
inline std::string quantization_table(const quantization_report& report) {
    const auto origin = [](const quantization_error& x) {
        if (x.scales == scale_origin::searched) return "searched";
        return x.rows == 0 ? "nearest, no routes" : "nearest";
    };
    text_table table({{.title = "expert"},
                      {.title = "routes"},
                      {.title = "output error", .unit = "%", .digits = 2},
                      {.title = "weight error", .unit = "%", .digits = 2},
                      {.title = "worst group", .unit = "%", .digits = 2},
                      {.title = "bits per weight", .digits = 2},
                      {.title = "scales", .left = true}});
    for (std::size_t e = 0; e < report.experts.size(); ++e) {
        const quantization_error& x = report.experts[e];
        const table_cell output = x.rows == 0 ? table_cell("") : table_cell(100 * x.output_error);
        table.row({e, x.rows, output, 100 * x.weight_error, 100 * x.worst_group, x.bits_per_weight, origin(x)});
    }
    return table.text();
}

MOE_END
