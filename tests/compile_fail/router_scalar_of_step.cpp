// expect: this score step lacks
#include "moe/moe.hpp"

template <class T>
struct step_in {
    using role = moe::score_step;
    template <class B>
    void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const {}
};

int main() {
#ifdef MOE_COMPILE_OK
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, step_in<float>{}, moe::top_k{.k = 2}};
    (void)r;
#else
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, step_in<double>{}, moe::top_k{.k = 2}};
    (void)r;
#endif
}
