// expect: moe::banks: some banks apply the routes' weights themselves and some do not; wrap all or none
#include "moe/moe.hpp"

int main() {
    const moe::swiglu_bank<float> experts{{.features = 4, .hidden = 4, .experts = 1}};
    const moe::identity_bank<float> same{{.features = 4, .experts = 1}};
#ifdef MOE_COMPILE_OK
    moe::banks b{moe::weigh_input{experts}, moe::weigh_input{same}};
#else
    moe::banks b{moe::weigh_input{experts}, same};
#endif
    (void)b;
}
