// What compare.py calls: this layer, its weights and inputs, and the same layer with products of oneDNN and OpenBLAS.
// SPDX-License-Identifier: Apache-2.0
#include <omp.h>

#include "peers/by_expert.hpp"

void bench::register_benchmarks() {}

namespace {

using bench::index_t;

struct subject {
    std::unique_ptr<peers::comparison> layer;
    peers::by_expert other;
};

peers::comparison& layer_of(void* s) { return *static_cast<subject*>(s)->layer; }

}  // namespace

extern "C" {

// As --tiny of the benchmarks: before anything else.
void peers_tiny() { bench::options().tiny = true; }

// format: of this layer's weights. Null if there is no such layer.
void* peers_open(const char* shape, const char* format) {
    auto made = std::make_unique<subject>();
    made->layer = peers::make_comparison(shape, format);
    return made->layer ? made.release() : nullptr;
}
void peers_close(void* s) { delete static_cast<subject*>(s); }

// Of this layer and of libraries called from here.
void peers_threads(void* s, int threads) {
    omp_set_num_threads(threads);
#if defined(PEERS_OPENBLAS)
    openblas_set_num_threads(threads);
#endif
    layer_of(s).set_threads(threads);
}

// D, H, E, K
void peers_sizes(void* s, int* sizes) {
    const bench::layer_shape& shape = layer_of(s).shape;
    sizes[0] = shape.features, sizes[1] = shape.hidden, sizes[2] = shape.experts, sizes[3] = shape.per_token;
}
double peers_operations(void* s, int tokens) { return layer_of(s).shape.operations(tokens); }
double peers_bytes_of_expert(void* s) { return layer_of(s).bytes_of_expert(); }

// [E,D]
void peers_router(void* s, float* to) { layer_of(s).read_router(to); }
// gate and up [H,D], down [D,H]
void peers_expert(void* s, int e, float* gate, float* up, float* down) { layer_of(s).read_expert(e, gate, up, down); }
// The weights of expert e as the peer holds them.
void peers_refer(void* s, int e, float* gate, float* up, float* down) { layer_of(s).refer(e, gate, up, down); }

int peers_turns(void* s, int tokens) { return bench::turns_of(bench::load::uniform, layer_of(s).shape, tokens); }
// Fills x [tokens,D]; returns how many experts its tokens use.
int peers_input(void* s, int tokens, int turn, float* x) {
    const bench::layer_input<float> input(layer_of(s).shape, bench::load::uniform, tokens, turn);
    layer_of(s).fill_input(input, x);
    return input.touched();
}

void peers_forward(void* s, const float* x, int tokens, float* y) { layer_of(s).forward(x, tokens, y); }
// Of y, which peers_forward wrote.
double peers_error_of_own(void* s, const float* x, int tokens, float* y) {
    return layer_of(s).error_of_own(x, tokens, y);
}
void peers_forward_reference(void* s, const float* x, int tokens, float* y) {
    layer_of(s).forward_reference(x, tokens, y);
}
// [tokens,K] each
void peers_route(void* s, const float* x, int tokens, int* experts, float* weights) {
    const moe::routing<float> r = layer_of(s).route(x, tokens);
    std::copy(r.routes.expert.begin(), r.routes.expert.end(), experts);
    std::copy(r.routes.weight.begin(), r.routes.weight.end(), weights);
}
// The largest |a - b| over the largest |b|.
double peers_difference(const float* a, const float* b, int rows, int columns) {
    return bench::error_of(moe::matrix_view<const float>(a, rows, columns, columns),
                           moe::matrix_view<const float>(b, rows, columns, columns));
}

// library: onednn or openblas, with as many threads as peers_threads said before. 0 if it is not built in, or has no
// such format.
int peers_use(void* s, const char* library, const char* format) {
    return static_cast<subject*>(s)->other.open(layer_of(s), library, format);
}
void peers_forward_by_expert(void* s, const float* x, int tokens, float* y) {
    static_cast<subject*>(s)->other.forward(layer_of(s), x, tokens, y);
}

// Operations and bytes a second of as many threads as this layer has.
void peers_limits(void* s, double* both) {
    const bench::limits l = layer_of(s).limits();
    both[0] = l.operations, both[1] = l.bytes;
}
}
