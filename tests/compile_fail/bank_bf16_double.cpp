// expect: a bank with short weights sums in float: ffn_bank<float, ...>
#include "moe/moe.hpp"

int main() {
#ifdef MOE_COMPILE_OK
    moe::swiglu_bank<float, moe::bf16_weights> bank{{.features = 4, .hidden = 4, .experts = 4}};
    (void)bank;
#else
    moe::swiglu_bank<double, moe::bf16_weights> bank{{.features = 4, .hidden = 4, .experts = 4}};
    (void)bank;
#endif
}
