// expect: the second part must be an expert bank, e.g. moe::swiglu_bank<float>{...}
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    auto l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    (void)l;
#else
    auto l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::shared{moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}}};
    (void)l;
#endif
}
