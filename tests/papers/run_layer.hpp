// tests/papers: one forward of a layer, and what is left of it
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "experts/around.hpp"

namespace run_layer {

// The routing on a tape names its batch, so all of it stays where it is; x must outlive it.
template <class T>
struct result {
    moe::cpu cpu;
    moe::batch<T> in;
    moe::tape<T> tape;
    moe::matrix<T> y;

    template <class Layer>
    result(const Layer& layer, const moe::matrix<T>& x) : y(x.rows(), layer.outputs()) {
        in.x = x;
        layer.forward(cpu, in, y.view(), tape);
    }
    result(const result&) = delete;
    result& operator=(const result&) = delete;
};

template <class T, class Layer>
result<T> run(const Layer& layer, const moe::matrix<T>& x) {
    return result<T>(layer, x);
}

}  // namespace run_layer
