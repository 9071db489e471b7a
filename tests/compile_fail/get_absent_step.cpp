// expect: moe::get: the router has not exactly one such step
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    moe::layer l{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    moe::get<moe::top_k>(l).k = 1;
#else
    moe::layer l{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    moe::get<moe::sigmoid>(l);
#endif
}
