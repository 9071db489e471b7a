// expect: this gate lacks 'index_t features() const', 'index_t columns() const', 'using scalar'
#include "moe/moe.hpp"

struct bad_gate {
    using role = moe::gate_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const {}
};

int main() {
#ifdef MOE_COMPILE_OK
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}};
    (void)r;
#else
    auto r = moe::router{bad_gate{}, moe::top_k{.k = 2}};
    (void)r;
#endif
}
