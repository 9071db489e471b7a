// expect: this score step lacks 'forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const'
#include "moe/moe.hpp"

struct good_step {
    using role = moe::score_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const {}
};
struct bad_step {
    using role = moe::score_step;
    template <class T>
    void forward(const moe::routing<T>&, moe::matrix_view<T>) const {}
};

int main() {
#ifdef MOE_COMPILE_OK
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, good_step{}, moe::top_k{.k = 2}};
    (void)r;
#else
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, bad_step{}, moe::top_k{.k = 2}};
    (void)r;
#endif
}
