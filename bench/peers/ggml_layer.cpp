// The experts of a layer as a graph of ggml, or of ik_llama.cpp's ggml, for compare.py: a library per build.
// SPDX-License-Identifier: Apache-2.0
//
// Routes come from the caller. Products, activation and sum are the graph that the project itself builds for such
// layers; one is made for every number of tokens and kept. x and y are [tokens,D], experts and weights [tokens,K],
// row-major.
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include "peers/ggml_build.hpp"

namespace {

struct context_free {
    void operator()(ggml_context* c) const { ggml_free(c); }
};
struct buffer_free {
    void operator()(ggml_backend_buffer* b) const { ggml_backend_buffer_free(b); }
};
struct allocator_free {
    void operator()(ggml_gallocr* a) const { ggml_gallocr_free(a); }
};
using context = std::unique_ptr<ggml_context, context_free>;

context make_context(std::size_t tensors) {
    const ggml_init_params p{tensors * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true};
    return context(ggml_init(p));
}

struct sizes {
    int features, hidden, experts, per_token;
};

struct graph {
    context tensors = make_context(512);
    std::unique_ptr<ggml_gallocr, allocator_free> memory;
    ggml_tensor *x, *experts, *weights, *y;
    ggml_cgraph* nodes;
};

class layer {
public:
    layer(const sizes& s, ggml_type type) : s_(s), type_(type) {
        gate_ = ggml_new_tensor_3d(tensors_.get(), type, s.features, s.hidden, s.experts);
        up_ = ggml_new_tensor_3d(tensors_.get(), type, s.features, s.hidden, s.experts);
        down_ = ggml_new_tensor_3d(tensors_.get(), type, s.hidden, s.features, s.experts);
    }

    // Takes memory; false if the build keeps this type in one layout only.
    bool place(bool repacked) {
        repacked_ = repacked;
        ggml_backend_buffer_type_t where = cpu_.plain();
#if !defined(PEERS_IK)
        if (repacked && !has_repacked_products()) return false;
        if (repacked) where = cpu_.repacked();
#endif
        memory_.reset(ggml_backend_alloc_ctx_tensors_from_buft(tensors_.get(), where));
        return memory_ != nullptr;
    }

    // Keeps the weights of expert e, and writes back what the type makes of them.
    void set(int e, float* gate, float* up, float* down) {
        keep(gate_, e, gate);
        keep(up_, e, up);
        keep(down_, e, down);
    }

    // After the last expert; false if they cannot be repacked.
    bool finish() {
        if (!repacked_) return true;
        for (ggml_tensor* w : {gate_, up_, down_}) {
#if defined(PEERS_IK)
            if (!peers::repack(w)) return false;
#else
            ggml_backend_tensor_set(w, staged_[w].data(), 0, staged_[w].size());
            staged_.erase(w);
#endif
        }
        return true;
    }

    void set_threads(int n) { cpu_.set_threads(n); }
    double bytes_of_expert() const { return double(gate_->nb[2] + up_->nb[2] + down_->nb[2]); }

    void forward(const float* x, const int* experts, const float* weights, int tokens, float* y) {
        auto& g = graphs_[tokens];
        if (!g) g = make_graph(tokens);
        ggml_backend_tensor_set(g->x, x, 0, ggml_nbytes(g->x));
        ggml_backend_tensor_set(g->experts, experts, 0, ggml_nbytes(g->experts));
        ggml_backend_tensor_set(g->weights, weights, 0, ggml_nbytes(g->weights));
        if (ggml_backend_graph_compute(cpu_.handle, g->nodes) != GGML_STATUS_SUCCESS) {
            throw std::runtime_error("ggml could not compute the layer");
        }
        ggml_backend_tensor_get(g->y, y, 0, ggml_nbytes(g->y));
    }

private:
#if !defined(PEERS_IK)
    bool has_repacked_products() {
        const ggml_backend_buffer_type_t where = cpu_.repacked();
        if (where == nullptr) return false;
        const context c = make_context(8);
        ggml_tensor* const w = ggml_new_tensor_3d(c.get(), type_, s_.features, s_.hidden, s_.experts);
        ggml_tensor* const x = ggml_new_tensor_3d(c.get(), GGML_TYPE_F32, s_.features, 1, 1);
        ggml_tensor* const ids = ggml_new_tensor_2d(c.get(), GGML_TYPE_I32, s_.per_token, 1);
        const std::unique_ptr<ggml_backend_buffer, buffer_free> none(ggml_backend_buft_alloc_buffer(where, 0));
        w->buffer = none.get();
        return ggml_backend_supports_op(cpu_.handle, ggml_mul_mat_id(c.get(), w, x, ids));
    }
#endif

    void keep(ggml_tensor* w, int e, float* values) {
        const int64_t rows = w->ne[1], columns = w->ne[0];
        std::vector<char> stored(w->nb[2]);
        peers::quantize(type_, values, stored.data(), rows, columns);
        if (const auto back = peers::to_float(type_)) back(stored.data(), values, rows * columns);
#if !defined(PEERS_IK)
        if (repacked_) {  // this memory takes whole tensors alone
            auto& whole = staged_[w];
            whole.resize(ggml_nbytes(w));
            std::copy(stored.begin(), stored.end(), whole.begin() + std::ptrdiff_t(std::size_t(e) * w->nb[2]));
            return;
        }
#endif
        ggml_backend_tensor_set(w, stored.data(), std::size_t(e) * w->nb[2], stored.size());
    }

    std::unique_ptr<graph> make_graph(int tokens) const {
        auto g = std::make_unique<graph>();
        ggml_context* const c = g->tensors.get();
        g->x = ggml_new_tensor_3d(c, GGML_TYPE_F32, s_.features, 1, tokens);
        g->experts = ggml_new_tensor_2d(c, GGML_TYPE_I32, s_.per_token, tokens);
        g->weights = ggml_new_tensor_3d(c, GGML_TYPE_F32, 1, s_.per_token, tokens);
        for (ggml_tensor* input : {g->x, g->experts, g->weights}) ggml_set_input(input);
        ggml_tensor* const hidden = peers::hidden_of(c, gate_, up_, g->x, g->experts);
        g->y = peers::weighted_sum(c, ggml_mul_mat_id(c, down_, hidden, g->experts), g->weights);
        ggml_set_output(g->y);
        g->nodes = ggml_new_graph(c);
        ggml_build_forward_expand(g->nodes, g->y);
        g->memory.reset(ggml_gallocr_new(cpu_.plain()));
        if (!ggml_gallocr_alloc_graph(g->memory.get(), g->nodes)) throw std::bad_alloc();
        return g;
    }

    sizes s_;
    ggml_type type_;
    bool repacked_ = false;
    peers::cpu_backend cpu_;
    context tensors_ = make_context(8);
    ggml_tensor *gate_, *up_, *down_;
    std::unique_ptr<ggml_backend_buffer, buffer_free> memory_;
    std::map<ggml_tensor*, std::vector<char>> staged_;
    std::map<int, std::unique_ptr<graph>> graphs_;
};

}  // namespace

extern "C" {

// type: a name such as q8_0, and + for the layout that the build repacks it to. Null if the build has no such type, or
// its blocks do not fit the sizes.
void* ggml_layer_open(int features, int hidden, int experts, int per_token, const char* type) {
    std::string name = type;
    const bool repacked = name.back() == '+';
    if (repacked) name.pop_back();
    const int number = peers::type_named(name);
    if (number < 0) return nullptr;
    const auto t = static_cast<ggml_type>(number);
    int64_t block = ggml_blck_size(t);
#if defined(PEERS_IK)
    // Other depths end the program (float), or are read up to the last 32 (bf16).
    block = t == GGML_TYPE_F32 ? 4 : 32;
#endif
    if (features % block != 0 || hidden % block != 0) return nullptr;
    auto made = std::make_unique<layer>(sizes{features, hidden, experts, per_token}, t);
    return made->place(repacked) ? made.release() : nullptr;
}
void ggml_layer_close(void* l) { delete static_cast<layer*>(l); }

void ggml_layer_set(void* l, int e, float* gate, float* up, float* down) {
    static_cast<layer*>(l)->set(e, gate, up, down);
}
int ggml_layer_finish(void* l) { return static_cast<layer*>(l)->finish(); }
void ggml_layer_threads(void* l, int n) { static_cast<layer*>(l)->set_threads(n); }
double ggml_layer_bytes(void* l) { return static_cast<layer*>(l)->bytes_of_expert(); }

void ggml_layer_forward(void* l, const float* x, const int* experts, const float* weights, int tokens, float* y) {
    static_cast<layer*>(l)->forward(x, experts, weights, tokens, y);
}
}
