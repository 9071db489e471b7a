// expect: these experts apply the weights of the routes themselves, and so does this combine
#include "moe/moe.hpp"

int main() {
    const moe::router router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}};
    const moe::weigh_input experts{moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
#ifdef MOE_COMPILE_OK
    moe::layer l{router, experts, moe::row_sum{}};
#else
    moe::layer l{router, experts, moe::weighted_sum{}};
#endif
    (void)l;
}
