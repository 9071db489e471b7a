// expect: this is no row-major matrix of the layer's scalar; pass a moe::matrix_view
#include "moe/moe.hpp"

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
#ifdef MOE_COMPILE_OK
    const moe::layer l{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    moe::cpu b;
    row_major y = row_major::Zero(2, 4);
    row_major x = row_major::Zero(2, 4);
    l(b, x, y);
#else
    const moe::layer l{moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}}, moe::swiglu_bank<float>{{.features = 4, .hidden = 4, .experts = 4}}};
    moe::cpu b;
    row_major y = row_major::Zero(2, 4);
    int x = 3;
    l(b, x, y);
#endif
}
