// count VERB: calls one grouped verb of moe::cpu twice, the second time inside counted_call, which callgrind measures.
// linear_FORMAT: grouped_linear with other weights.
#include <cmath>
#include <functional>
#include <string>
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
};

}  // namespace

extern "C" __attribute__((noinline)) void counted_call(const std::function<void()>& f) {
    f();
    __asm__ __volatile__("" ::: "memory");
}

namespace {

// The first call takes scratch and is not counted.
void call_twice(const std::function<void()>& f) {
    f();
    counted_call(f);
}

template <class W>
void count_linear(problem& p, const moe::row_groups& rows) {
    W codes(experts, outputs, inputs);
    moe::matrix<float> plain(outputs, inputs);
    for (index_t g = 0; g < experts; ++g) {
        p.w.read(g, plain.view());
        codes.assign(g, plain.view());
    }
    call_twice([&] { kernels::grouped_linear(p.cpu, rows, p.x.view(), codes, {}, p.h.view()); });
}

bool count(problem& p, const std::string& verb) {
    const moe::row_groups by_token{p.offset, p.gather}, by_row{p.offset, {}};
    if (verb == "gated_activation") {
        call_twice([&] {
            kernels::grouped_gated_activation(p.cpu, by_token, p.x.view(), p.w, p.up, {}, {}, moe::gated<moe::silu>{},
                                              p.h.view(), {}, {});
        });
    } else if (verb == "linear") {
        call_twice([&] { kernels::grouped_linear(p.cpu, by_token, p.x.view(), p.w, {}, p.h.view()); });
    } else if (verb == "input_gradient") {
        call_twice([&] { kernels::grouped_input_gradient(p.cpu, by_row, p.h.view(), p.w, p.dx.view(), false); });
    } else if (verb == "weight_gradient") {
        call_twice([&] { kernels::grouped_weight_gradient(p.cpu, by_token, p.h.view(), p.x.view(), p.dw); });
    } else if (verb == "linear_f16") {
        count_linear<moe::f16_panels>(p, by_token);
    } else if (verb == "linear_bf16") {
        count_linear<moe::bf16_panels>(p, by_token);
    } else if (verb == "linear_int8") {
        count_linear<moe::int8_panels<32>>(p, by_token);
    } else if (verb == "linear_int4") {
        count_linear<moe::int4_panels<32>>(p, by_token);
    } else if (verb == "linear_int4_zero") {
        count_linear<moe::int4_zero_panels<32>>(p, by_token);
    } else if (verb == "linear_ternary") {
        count_linear<moe::ternary_panels<32>>(p, by_token);
    } else {
        return false;
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    problem p;
    if (argc != 2 || !count(p, argv[1])) return 2;
    return std::isfinite(p.h(rows - 1, outputs - 1)) ? 0 : 1;
}
