// expect: this route step lacks 'forward(B&, const moe::routing<T>&, X) const'
#include "moe/moe.hpp"

struct good_step {
    using role = moe::route_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::choice) const {}
};
struct bad_step {
    using role = moe::route_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const {}
};

int main() {
#ifdef MOE_COMPILE_OK
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::top_k{.k = 2}, good_step{}};
    (void)r;
#else
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::top_k{.k = 2}, bad_step{}};
    (void)r;
#endif
}
