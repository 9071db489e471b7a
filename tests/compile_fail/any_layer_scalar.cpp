// expect: moe::any_layer: the layer computes in another scalar type
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    moe::any_layer<float> l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    (void)l;
#else
    moe::any_layer<double> l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    (void)l;
#endif
}
