// expect: this score step stands after the selector; move it in front of the selector
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}};
    (void)r;
#else
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::top_k{.k = 2}, moe::softmax{}};
    (void)r;
#endif
}
