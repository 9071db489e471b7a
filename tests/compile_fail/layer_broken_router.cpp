// expect: there is no selector
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    auto l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    (void)l;
#else
    auto l = moe::layer{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    (void)l;
    moe::cpu b;
    moe::tape<float> tape;
    moe::matrix<float> x(2, 4), y(2, 4);
    moe::batch<float> in;
    in.x = x;
    l.forward(b, in, y.view(), tape);
#endif
}
