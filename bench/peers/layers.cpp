// This layer and the same layer with the products of another library, for compare.py.
// SPDX-License-Identifier: Apache-2.0
//
// The other one routes and plans with this library, gathers an expert's rows, and multiplies expert by expert: gate and
// up in one product, SwiGLU in place, down, then adds the weighted rows. x and y are [tokens, features], row-major.
#include <omp.h>

#include "peers/products.hpp"
#include "support/check.hpp"
#include "support/measure.hpp"

void bench::register_benchmarks() {}

namespace {

using bench::f32;
using bench::index_t;
using cpu_kernels = moe::kernels_of<moe::cpu>;

struct expert_products {
    std::unique_ptr<peers::product> gate_up, down;
};

struct comparison {
    bench::layer_shape shape;
    bench::layer_type<f32> layer;
    moe::cpu cpu;
    moe::matrix<float> gate_up, down;  // [E * 2H, D], [E * D, H]: what the other library was given
    std::vector<expert_products> products;
    moe::arena memory;
    moe::matrix<float> rows, sums, hidden, out;

    comparison(const bench::layer_shape& s, index_t threads)
        : shape(s), layer(bench::make_layer<f32>(s)), cpu({.threads = threads}) {}

    void read_weights(index_t e, float* gate_up_of, float* down_of) const {
        const auto& bank = layer.experts();
        const std::ptrdiff_t size = std::ptrdiff_t(shape.hidden) * shape.features;
        bank.gate.read(e, moe::matrix_view<float>(gate_up_of, shape.hidden, shape.features, shape.features));
        bank.up.read(e, moe::matrix_view<float>(gate_up_of + size, shape.hidden, shape.features, shape.features));
        bank.down.read(e, moe::matrix_view<float>(down_of, shape.features, shape.hidden, shape.hidden));
    }

    // Whether there is such a library.
    bool use(const std::string& library) {
        gate_up = moe::matrix<float>(shape.experts * 2 * shape.hidden, shape.features);
        down = moe::matrix<float>(shape.experts * shape.features, shape.hidden);
        for (index_t e = 0; e < shape.experts; ++e) {
            const auto g = gate_up.view().middle_rows(e * 2 * shape.hidden, 2 * shape.hidden);
            const auto d = down.view().middle_rows(e * shape.features, shape.features);
            read_weights(e, g.data, d.data);
            products.push_back({peers::make_product(library, g), peers::make_product(library, d)});
            if (!products.back().gate_up) return false;
        }
        if (library != "openblas") gate_up = down = {};  // packed
        return true;
    }

    void forward(const float* x, index_t tokens, float* y) {
        layer.forward(cpu, batch_of(x, tokens), moe::matrix_view<float>(y, tokens, shape.features, shape.features));
    }

    moe::batch<float> batch_of(const float* x, index_t tokens) const {
        moe::batch<float> in;
        in.x = moe::matrix_view<const float>(x, tokens, shape.features, shape.features);
        return in;
    }

    void forward_by_expert(const float* x, index_t tokens, float* y) {
        memory.reset();
        const moe::routing<float> s = layer.route(cpu, batch_of(x, tokens), memory);
        const moe::plan_view plan =
            cpu_kernels::build_plan(cpu, tokens, shape.experts, s.routes.offset, s.routes.expert, memory);
        if (rows.rows() < tokens) {
            rows = out = moe::matrix<float>(tokens, shape.features);
            sums = moe::matrix<float>(tokens, 2 * shape.hidden);
            hidden = moe::matrix<float>(tokens, shape.hidden);
        }
        std::fill_n(y, std::ptrdiff_t(tokens) * shape.features, 0.0f);
        for (index_t e = 0; e < shape.experts; ++e) {
            if (plan.end(e) > plan.begin(e)) add_expert(e, x, s, plan, y);
        }
    }

    void add_expert(index_t e, const float* x, const moe::routing<float>& s, const moe::plan_view& plan, float* y) {
        using V = moe::simd_vector<float>;
        const index_t count = plan.end(e) - plan.begin(e), first = plan.begin(e), d = shape.features, h = shape.hidden;
        const auto token = [&](index_t i) { return std::ptrdiff_t(plan.token[std::size_t(first + i)]) * d; };
        for (index_t i = 0; i < count; ++i) std::copy_n(x + token(i), d, rows.view().row(i));
        products[std::size_t(e)].gate_up->multiply(rows.data(), count, sums.data());
        const auto activate = [&](index_t i) {
            const float* gate = sums.data() + std::ptrdiff_t(i) * 2 * h;
            float* to = hidden.data() + std::ptrdiff_t(i) * h;
            for (index_t j = 0; j < h; j += V::size) {
                const auto value = layer.experts().activation.value<moe::simd_math>(
                    moe::detail::load_some(gate + j, h - j), moe::detail::load_some(gate + h + j, h - j));
                moe::detail::store_some(value, to + j, h - j);
            }
        };
        for (index_t i = 0; i < count; ++i) activate(i);
        products[std::size_t(e)].down->multiply(hidden.data(), count, out.data());
        for (index_t i = 0; i < count; ++i) {
            const float weight = s.routes.weight[std::size_t(plan.slot[std::size_t(first + i)])];
            for (index_t j = 0; j < d; ++j) y[token(i) + j] += weight * out.data()[std::ptrdiff_t(i) * d + j];
        }
    }
};

}  // namespace

extern "C" {

// Null if there is no such layer, or no such library; an empty name of a library is for callers that bring their own.
void* peers_open(const char* shape, const char* library, int threads) {
    omp_set_num_threads(threads);
#if defined(PEERS_OPENBLAS)
    openblas_set_num_threads(threads);
#endif
    for (const bench::layer_shape& s : bench::shapes()) {
        if (std::string(shape) != s.name) continue;
        auto c = std::make_unique<comparison>(s, threads);
        return *library == '\0' || c->use(library) ? c.release() : nullptr;
    }
    return nullptr;
}
void peers_close(void* c) { delete static_cast<comparison*>(c); }

// D, H, E, K
void peers_sizes(void* c, int* sizes) {
    const bench::layer_shape& s = static_cast<comparison*>(c)->shape;
    sizes[0] = s.features, sizes[1] = s.hidden, sizes[2] = s.experts, sizes[3] = s.per_token;
}
double peers_operations(void* c, int tokens) { return static_cast<comparison*>(c)->shape.operations(tokens); }

// router [E,D], gate_up [E,2H,D], down [E,D,H]
void peers_weights(void* handle, float* router, float* gate_up, float* down) {
    const comparison& c = *static_cast<comparison*>(handle);
    const auto& s = c.shape;
    c.layer.router().step<0>().weight.read(0, moe::matrix_view<float>(router, s.experts, s.features, s.features));
    const std::ptrdiff_t size = std::ptrdiff_t(s.hidden) * s.features;
    for (index_t e = 0; e < s.experts; ++e) c.read_weights(e, gate_up + 2 * e * size, down + e * size);
}

int peers_turns(void* c, int tokens) {
    return bench::turns_of(bench::load::uniform, static_cast<comparison*>(c)->shape, tokens);
}
// Fills x [tokens,D]; returns the bytes of the weights that its tokens touch.
double peers_input(void* c, int tokens, int turn, float* x) {
    const bench::layer_shape& s = static_cast<comparison*>(c)->shape;
    const bench::layer_input<float> input(s, bench::load::uniform, tokens, turn);
    std::copy(input.x.span().begin(), input.x.span().end(), x);
    return input.touched() * s.expert_parameters() * sizeof(float);
}

void peers_forward(void* c, const float* x, int tokens, float* y) {
    static_cast<comparison*>(c)->forward(x, tokens, y);
}
void peers_forward_by_expert(void* c, const float* x, int tokens, float* y) {
    static_cast<comparison*>(c)->forward_by_expert(x, tokens, y);
}

// Operations and bytes a second of as many threads.
void peers_limits(int threads, double* limits) {
    const bench::limits l = bench::measure_limits<f32>(threads);
    limits[0] = l.operations, limits[1] = l.bytes;
}
}
