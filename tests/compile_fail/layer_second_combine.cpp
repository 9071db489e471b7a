// expect: this is a second combine; a layer has at most one
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    auto l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}, moe::weighted_sum{}};
    (void)l;
#else
    auto l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}, moe::weighted_sum{}, moe::weighted_sum{}};
    (void)l;
#endif
}
