// expect: moe: unsuitable backend: it has memory of its own, which this part does not leave to verbs and row programs
#include "far.hpp"

struct doubled {
    using role = moe::score_step;
#ifdef MOE_COMPILE_OK
    static constexpr bool any_memory = true;
#endif
    template <class B, class T>
    void forward(B& b, const moe::routing<T>&, moe::matrix_view<T> scores) const {
        moe::kernels_of<B>::for_rows(b, scores.rows, [=](moe::index_t t) { scores(t, 0) += scores(t, 0); });
    }
};

void run(far_backend& b, moe::matrix_view<const float> x, moe::matrix_view<float> y) {
    const moe::layer layer{
        moe::router{moe::linear_gate<float>{{.features = 4, .experts = 2}}, doubled{}, moe::top_k{.k = 1}},
        moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 2}}};
    layer(b, x, y);
}
