// experts/quantization_report: what fewer bits cost every expert of a bank
// SPDX-License-Identifier: Apache-2.0
//
// Errors are those of the weights: both banks multiply in float, so the rounding of activations is not in them. NaN where
// there is nothing to compare with: no rows, or outputs or weights that are all 0. metrics/quantization_table.hpp prints
// them.
#pragma once

#include <vector>

#include "moe/core/config.hpp"

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
};

MOE_END
