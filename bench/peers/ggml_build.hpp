// bench/peers: what differs between ggml and the one inside ik_llama.cpp (PEERS_IK)
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#if defined(PEERS_IK)
#include <dlfcn.h>
#endif

#include <cstring>
#include <string>

namespace peers {

// The number of a type by its name, -1 if the build has none.
inline int type_named(const std::string& name) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const char* const known = ggml_type_name(static_cast<ggml_type>(i));
        if (known != nullptr && name == known) return i;
    }
    return -1;
}

#if defined(PEERS_IK)

struct cpu_backend {
    ggml_backend_t handle = ggml_backend_cpu_init();
    ~cpu_backend() { ggml_backend_free(handle); }
    void set_threads(int n) { ggml_backend_cpu_set_n_threads(handle, n); }
    ggml_backend_buffer_type_t plain() const { return ggml_backend_cpu_buffer_type(); }
};

inline void quantize(ggml_type type, const float* from, void* to, int64_t rows, int64_t columns) {
    ggml_quantize_chunk(type, from, to, 0, rows, columns, nullptr, nullptr);
}
inline ggml_to_float_t to_float(ggml_type type) { return ggml_internal_get_type_traits(type).to_float; }

// What `-rtr` does to a tensor in memory; false if the build cannot.
inline bool repack(ggml_tensor* w) {
    const auto run = reinterpret_cast<void (*)(ggml_tensor*)>(dlsym(RTLD_DEFAULT, "iqk_repack_tensor"));
    const ggml_type before = w->type;
    if (run != nullptr) run(w);
    return w->type != before;
}

// silu(gate x) * (up x) of every route, [H,K,T].
inline ggml_tensor* hidden_of(ggml_context* c, ggml_tensor* gate, ggml_tensor* up, ggml_tensor* x, ggml_tensor* ids) {
    return ggml_moe_up_gate(c, up, gate, x, ids, GGML_UNARY_OP_SILU);
}
// rows [D,K,T], weights [1,K,T] -> [D,T]
inline ggml_tensor* weighted_sum(ggml_context* c, ggml_tensor* rows, ggml_tensor* weights) {
    return ggml_mul_multi_add(c, rows, weights);
}

#else

struct cpu_backend {
    ggml_backend_t handle = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
    ~cpu_backend() { ggml_backend_free(handle); }
    void set_threads(int n) {
        const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(address("ggml_backend_set_n_threads"));
        if (set != nullptr) set(handle, n);
    }
    ggml_backend_buffer_type_t plain() const { return ggml_backend_get_default_buffer_type(handle); }
    // Where weights are kept in another layout, if the build has such a place.
    ggml_backend_buffer_type_t repacked() const {
        const auto list =
            reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(address("ggml_backend_dev_get_extra_bufts"));
        ggml_backend_buffer_type_t* at = list != nullptr ? list(ggml_backend_get_device(handle)) : nullptr;
        for (; at != nullptr && *at != nullptr; ++at) {
            if (std::strcmp(ggml_backend_buft_name(*at), "CPU_REPACK") == 0) return *at;
        }
        return nullptr;
    }

private:
    void* address(const char* name) const {
        const ggml_backend_reg_t all = ggml_backend_dev_backend_reg(ggml_backend_get_device(handle));
        return ggml_backend_reg_get_proc_address(all, name);
    }
};

inline void quantize(ggml_type type, const float* from, void* to, int64_t rows, int64_t columns) {
    ggml_quantize_chunk(type, from, to, 0, rows, columns, nullptr);
}
inline ggml_to_float_t to_float(ggml_type type) { return ggml_get_type_traits(type)->to_float; }

inline ggml_tensor* hidden_of(ggml_context* c, ggml_tensor* gate, ggml_tensor* up, ggml_tensor* x, ggml_tensor* ids) {
    ggml_tensor* const u = ggml_mul_mat_id(c, up, x, ids);
    return ggml_swiglu_split(c, ggml_mul_mat_id(c, gate, x, ids), u);
}
inline ggml_tensor* weighted_sum(ggml_context* c, ggml_tensor* rows, ggml_tensor* weights) {
    ggml_tensor* const all = ggml_mul(c, rows, weights);
    const auto slot = [&](int64_t k) {
        return ggml_view_2d(c, all, all->ne[0], all->ne[2], all->nb[2], static_cast<size_t>(k) * all->nb[1]);
    };
    ggml_tensor* sum = slot(0);
    for (int64_t k = 1; k < all->ne[1]; ++k) sum = ggml_add(c, sum, slot(k));
    return all->ne[1] == 1 ? ggml_cont(c, sum) : sum;
}

#endif

}  // namespace peers
