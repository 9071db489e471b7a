// expect: moe: unsuitable backend: kernels<tag> has no verb 'add'
#include "far.hpp"

struct other_tag {};
struct other_backend {
    using tag = other_tag;
    using memory = far_memory;
    moe::arena& scratch();
};
template <>
struct moe::kernels<other_tag> : moe::kernels<far_tag> {
#ifndef MOE_COMPILE_OK
    static void add();
#endif
};

void run(other_backend& b, moe::matrix_view<const float> x, moe::matrix_view<float> y) {
    const moe::layer layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 2}}, moe::top_k{.k = 1}},
                           moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 2}}};
    layer(b, x, y);
}
