// soak: trains one layer for many seconds with ever changing shapes and says how much memory the process holds
// SPDX-License-Identifier: Apache-2.0
//
//     soak_layer SECONDS     exit status 1 if memory still grows after the first fifth of the time, or a weight is not finite
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "moe/moe.hpp"
#include "moe/testing/random.hpp"

namespace {

using moe::index_t;

constexpr index_t features = 48, experts = 12, most_tokens = 700;

// Kilobytes of memory that the process has in RAM; 0 where the system does not tell.
double resident() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        double kilobytes = 0;
        if (word == "VmRSS:" && status >> kilobytes) return kilobytes;
    }
    return 0;
}

auto make_layer() {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = features, .experts = experts}}, moe::softmax{},
                                  moe::selection_bias{experts}, moe::top_p{.p = 0.6, .max_experts = 5},
                                  moe::capacity{{.factor = 2.0}}, moe::renormalize{}},
                      moe::swiglu_bank<float>{{.features = features, .hidden = 40, .experts = experts}},
                      moe::shared{moe::swiglu_bank<float>{{.features = features, .hidden = 24, .experts = 1}}}};
}

template <class Layer>
struct trainer {
    explicit trainer(Layer& l) : layer(l) {}

    Layer& layer;
    moe::cpu cpu{{.threads = 2}};
    moe::tape<float> tape;
    typename Layer::gradient gradient = layer.make_gradient();
    moe::adamw optimizer{{.learning_rate = 1e-3}};
    moe::matrix<float> x = moe::testing::random_matrix<float>(most_tokens, features, 1);
    moe::matrix<float> y{most_tokens, features}, dx{most_tokens, features};
    std::vector<std::uint8_t> mask = std::vector<std::uint8_t>(most_tokens, 1);

    void step(std::uint64_t n) {
        const moe::random_stream random(n, moe::stream_id("soak"));
        const index_t tokens = static_cast<index_t>(random.words(0, 0)[0] % (most_tokens + 1));
        moe::batch<float> in;
        in.x = x.view().middle_rows(0, tokens);
        for (index_t t = 0; t < tokens; ++t) mask[std::size_t(t)] = random.words(std::uint64_t(t), 1)[0] % 8u != 0;
        if (n % 3 == 0) in.mask = std::span(mask).first(std::size_t(tokens));
        in.training = true;
        in.step = n;
        const auto out = y.view().middle_rows(0, tokens);
        layer.forward(cpu, in, out, tape);
        moe::load_balance{.coefficient = 0.01}(cpu, tape);
        moe::sign_bias{}.update(moe::get<moe::selection_bias>(layer).bias, tape.plan());
        // The layer learns to give back its input: dL/dy = y - x.
        for (index_t t = 0; t < tokens; ++t) {
            for (index_t d = 0; d < features; ++d) out(t, d) = (out(t, d) - x(t, d)) / static_cast<float>(most_tokens);
        }
        layer.backward(cpu, out, tape, dx.view().middle_rows(0, tokens), gradient);
        optimizer.step(layer, gradient);
        moe::zero_gradient(layer, gradient);
    }
};

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc == 2 ? std::atof(argv[1]) : 0;
    if (!(seconds > 0)) {
        std::fprintf(stderr, "usage: %s SECONDS\n", argv[0]);
        return 2;
    }
    using clock = std::chrono::steady_clock;
    const auto begin = clock::now();
    const auto elapsed = [&] { return std::chrono::duration<double>(clock::now() - begin).count(); };
    auto layer = make_layer();
    trainer<decltype(layer)> train(layer);
    double warm = 0, next_report = 0;
    std::uint64_t steps = 0;
    for (; elapsed() < seconds; ++steps) {
        train.step(steps);
        if (warm == 0 && elapsed() > seconds / 5) warm = resident();
        if (elapsed() < next_report) continue;
        std::printf("%8.0f s  %10llu steps  %8.1f MB\n", elapsed(), static_cast<unsigned long long>(steps),
                    resident() / 1024);
        std::fflush(stdout);
        next_report += seconds / 10;
    }
    bool finite = true;
    moe::visit_parameters(
        [&](const moe::parameter_name&, const auto& values) {
            for (const float v : moe::flat(values)) finite = finite && std::isfinite(v);
        },
        layer);
    const double grown = resident() - warm;
    std::printf("%llu steps, %.1f MB, grown by %.0f kB after the first fifth; weights are %s\n",
                static_cast<unsigned long long>(steps), resident() / 1024, grown, finite ? "finite" : "NOT finite");
    // The allocator's own rounding may touch a few more pages.
    return finite && grown <= 256 ? 0 : 1;
}
