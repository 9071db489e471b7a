// expect: this score step stands after a key step, so the keys would not follow it; move it in front of the key steps
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::sigmoid{}, moe::selection_bias{4}, moe::top_k{.k = 2}};
    (void)r;
#else
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::selection_bias{4}, moe::sigmoid{}, moe::top_k{.k = 2}};
    (void)r;
#endif
}
