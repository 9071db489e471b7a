// expect: this part is no router step
#include "moe/moe.hpp"

struct good_step {
    using role = moe::score_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const {}
};
class bad_step {
    using role = moe::score_step;

public:
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const {}
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
