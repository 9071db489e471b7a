// expect: moe::shared: there are no routes whose weights this bank could apply
#include "moe/moe.hpp"

int main() {
    const moe::swiglu_bank<float> experts{{.features = 4, .hidden = 4, .experts = 1}};
#ifdef MOE_COMPILE_OK
    moe::shared s{experts};
#else
    moe::shared s{moe::weigh_input{experts}};
#endif
    (void)s;
}
