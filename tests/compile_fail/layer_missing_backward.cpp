// expect: training needs the gradient of this part: give it 'void backward(...) const', or do not call backward
#include "moe/moe.hpp"

struct only_forward {
    using role = moe::score_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::matrix_view<T>) const {}
};

int main() {
#ifdef MOE_COMPILE_OK
    const moe::layer l{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    moe::cpu b;
    moe::tape<float> tape;
    moe::matrix<float> x(2, 4), y(2, 4), dx(2, 4);
    moe::batch<float> in;
    in.x = x;
    auto g = moe::make_gradient(l);
    l.forward(b, in, y.view(), tape);
    l.backward(b, y.view(), tape, dx.view(), g);
#else
    const moe::layer l{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, only_forward{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    moe::cpu b;
    moe::tape<float> tape;
    moe::matrix<float> x(2, 4), y(2, 4), dx(2, 4);
    moe::batch<float> in;
    in.x = x;
    auto g = moe::make_gradient(l);
    l.forward(b, in, y.view(), tape);
    l.backward(b, y.view(), tape, dx.view(), g);
#endif
}
