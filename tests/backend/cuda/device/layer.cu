// A layer of every part of the slice, trained for some steps on a CUDA device and by the reference. Compiled and linked
// wherever nvcc is; where there is a device, the two are compared. Exit status 0: equal, 1: not, 77: no device.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <vector>

#include "moe/moe.hpp"

#if defined(EIGEN_CORE_H) || defined(EIGEN_CORE_MODULE_H) || defined(XSIMD_HPP) || defined(XSIMD_VERSION_MAJOR)
#error "a CUDA translation unit sees neither Eigen nor xsimd"
#endif

namespace {

using moe::index_t;

constexpr index_t tokens = 77, features = 40, experts = 12;

template <class T>
moe::matrix<T> random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
    moe::matrix<T> m(rows, cols);
    const moe::random_stream random(seed, moe::stream_id("tests.cuda"));
    for (index_t i = 0; i < rows; ++i) {
        for (index_t j = 0; j < cols; ++j) m(i, j) = static_cast<T>(random.normal(std::uint64_t(i), std::uint32_t(j)));
    }
    return m;
}

template <class T>
auto make_layer() {
    return moe::layer{
        moe::router{moe::linear_gate<T>{{.features = features, .experts = experts, .bias = true, .seed = 1}},
                    moe::sigmoid{}, moe::selection_bias{experts}, moe::group_limit{.groups = 4, .keep = 2, .best = 2},
                    moe::top_k{.k = 3}, moe::renormalize{.epsilon = 1e-20}, moe::scale{2.5},
                    moe::capacity{{.factor = 1.1}}},
        moe::swiglu_bank<T>{{.features = features, .hidden = 33, .experts = experts, .bias = true, .seed = 2}},
        moe::shared{moe::swiglu_bank<T>{{.features = features, .hidden = 21, .experts = 2, .seed = 3}}}};
}

// y, dx and every weight after three steps of training, on the host.
template <class T, class B>
std::vector<T> train(B& b) {
    auto layer = moe::copy_to(b, make_layer<T>());
    const auto x = moe::copy_to(b, random_matrix<T>(tokens, features, 4));
    const auto dy = moe::copy_to(b, random_matrix<T>(tokens, features, 5));
    moe::matrix<T> y = x, dx = x;
    moe::batch<T> call;
    call.x = x.view();
    moe::tape<T> tape;
    auto gradient = moe::make_gradient(layer);
    moe::sgd optimizer{{.learning_rate = 0.01, .momentum = 0.9}};
    std::vector<T> all;
    const auto keep = [&all](const auto& tensor) {
        const auto on_host = moe::copy_to(moe::reference{}, tensor);
        const auto values = moe::flat(on_host);
        all.insert(all.end(), values.begin(), values.end());
    };
    for (int step = 0; step < 3; ++step) {
        moe::zero_gradient(layer, gradient);
        layer.forward(b, call, y.view(), tape);
        all.push_back(static_cast<T>(moe::load_balance{.coefficient = 0.1}(b, tape)));
        all.push_back(static_cast<T>(moe::z_loss{0.01}(b, tape)));
        layer.backward(b, dy.view(), tape, dx.view(), gradient);
        moe::sign_bias{.rate = 0.1}.update(moe::get<moe::selection_bias>(layer).bias, tape.plan());
        optimizer.step(b, layer, gradient);
    }
    keep(y);
    keep(dx);
    moe::visit_parameters([&](const auto&, const auto& tensor) { keep(tensor); }, layer);
    return all;
}

template <class T>
bool same(const char* scalar, double tolerance) {
    moe::reference reference;
    moe::cuda device;
    const std::vector<T> wanted = train<T>(reference), got = train<T>(device);
    double worst = 0.0, largest = 0.0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const double error = std::fabs(static_cast<double>(got[i]) - static_cast<double>(wanted[i]));
        if (!(error <= worst)) worst = error;
        largest = std::fmax(largest, std::fabs(static_cast<double>(wanted[i])));
    }
    const bool close = worst <= tolerance * (1.0 + largest);
    std::printf("%s: %zu values, largest error %.3g of %.3g: %s\n", scalar, wanted.size(), worst, largest,
                close ? "equal" : "NOT equal");
    return close;
}

}  // namespace

int main() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        std::printf("no CUDA device: compiled and linked, not run\n");
        return 77;
    }
    const bool in_double = same<double>("double", 1e-11);
    const bool in_float = same<float>("float", 2e-4);
    return in_double && in_float ? 0 : 1;
}
