// count VERB: calls one grouped verb of moe::cpu twice, the second time inside counted_call, which callgrind measures.
#include <cmath>
#include <cstring>
#include <vector>

#include "moe/backend/cpu.hpp"
#include "moe/experts/activation.hpp"

namespace {

using moe::index_t;
using kernels = moe::kernels_of<moe::cpu>;

constexpr index_t experts = 4, rows = 61, outputs = 130, inputs = 300;

struct problem {
    std::vector<index_t> offset{0, 29, 29, 36, rows}, gather;
    moe::panels<float> w{experts, outputs, inputs}, up{experts, outputs, inputs}, dw{experts, outputs, inputs};
    moe::matrix<float> x{rows, inputs}, h{rows, outputs}, dx{rows, inputs};
    moe::cpu cpu;

    problem() {
        for (index_t r = 0; r < rows; ++r) gather.push_back((r * 7) % rows);
        const auto fill = [](std::span<float> values) {
            for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 17) / 16 - 0.5f;
        };
        fill(x.span());
        fill(h.span());
        fill(w.span());
        fill(up.span());
    }
    void call(const char* verb) {
        const moe::row_groups by_token{offset, gather}, by_row{offset, {}};
        if (std::strcmp(verb, "gated_activation") == 0) {
            kernels::grouped_gated_activation(cpu, by_token, x.view(), w, up, {}, {}, moe::gated<moe::silu>{}, h.view(), {}, {});
        } else if (std::strcmp(verb, "linear") == 0) {
            kernels::grouped_linear(cpu, by_token, x.view(), w, {}, h.view());
        } else if (std::strcmp(verb, "input_gradient") == 0) {
            kernels::grouped_input_gradient(cpu, by_row, h.view(), w, dx.view(), false);
        } else {
            kernels::grouped_weight_gradient(cpu, by_token, h.view(), x.view(), dw);
        }
    }
};

}  // namespace

extern "C" __attribute__((noinline)) void counted_call(void* p, const char* verb) {
    static_cast<problem*>(p)->call(verb);
    __asm__ __volatile__("" ::: "memory");
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    problem p;
    p.call(argv[1]);
    counted_call(&p, argv[1]);
    return std::isfinite(p.h(rows - 1, outputs - 1)) ? 0 : 1;
}
