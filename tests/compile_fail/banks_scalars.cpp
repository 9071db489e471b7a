// expect: moe::banks: the banks compute in different scalar types; use the same one in all
#include "moe/moe.hpp"

int main() {
    const moe::swiglu_bank<float> experts{{.features = 4, .hidden = 4, .experts = 1}};
#ifdef MOE_COMPILE_OK
    moe::banks b{experts, moe::null_bank<float>{{.features = 4, .experts = 1}}};
#else
    moe::banks b{experts, moe::null_bank<double>{{.features = 4, .experts = 1}}};
#endif
    (void)b;
}
