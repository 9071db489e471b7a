// expect: moe: unsuitable backend: it has memory of its own; bring x there with moe::copy_to(backend, matrix)
#include "far.hpp"

#include <vector>

moe::matrix<float> run(far_backend& b, const std::vector<float>& x) {
    const moe::layer layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 2}}, moe::top_k{.k = 1}},
                           moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 2}}};
#ifdef MOE_COMPILE_OK
    return layer(b, moe::copy_to(b, moe::matrix<float>(static_cast<moe::index_t>(x.size() / 4), 4)));
#else
    return layer(b, x);
#endif
}
