// The peak memory of a call against the formulas of docs/performance.md, which are the functions below.
#include "moe/moe.hpp"
#include "moe/testing/random.hpp"
#include "support/catch.hpp"

namespace {

using moe::index_t;

struct sizes {
    index_t tokens, features, hidden, experts, per_token;
    double routes() const { return static_cast<double>(tokens) * per_token; }
};

// Bytes of a matrix whose rows are rounded up to 64 bytes.
template <class T>
double bytes(double rows, index_t columns) {
    return rows * static_cast<double>((static_cast<std::size_t>(columns) * sizeof(T) + 63) / 64 * 64);
}

template <class T>
double forward_scratch(const sizes& s) {
    const double indices = 5 * s.routes() + 2 * s.tokens + s.experts;
    return bytes<T>(s.routes(), s.features) + bytes<T>(s.routes(), s.hidden) + 2 * bytes<T>(s.tokens, s.experts) +
           s.routes() * sizeof(T) + indices * sizeof(index_t);
}
template <class T>
double backward_scratch(const sizes& s) {
    return 2 * bytes<T>(s.routes(), s.features) + 2 * bytes<T>(s.routes(), s.hidden);
}
template <class T>
double tape_memory(const sizes& s) {
    const double indices = 5 * s.routes() + 2 * s.tokens + s.experts;
    return bytes<T>(s.routes(), s.features) + 3 * bytes<T>(s.routes(), s.hidden) + 4 * bytes<T>(s.tokens, s.experts) +
           3 * s.routes() * sizeof(T) + indices * sizeof(index_t);
}

struct peaks {
    double forward, backward, tape;
};

// A forward and a training step on objects of their own, twice: the second time nothing may grow.
template <class T>
peaks measure(const sizes& s, index_t threads) {
    const moe::layer layer{
        moe::router{moe::linear_gate<T>{{.features = s.features, .experts = s.experts}}, moe::softmax{},
                    moe::top_k{.k = s.per_token}, moe::renormalize{}},
        moe::swiglu_bank<T>{{.features = s.features, .hidden = s.hidden, .experts = s.experts}}};
    const auto x = moe::testing::random_matrix<T>(s.tokens, s.features, 1);
    const auto dy = moe::testing::random_matrix<T>(s.tokens, s.features, 2);
    moe::matrix<T> y(s.tokens, s.features), dx(s.tokens, s.features);
    moe::batch<T> in;
    in.x = x;
    auto gradient = layer.make_gradient();
    moe::cpu infers{{.threads = threads}}, trains{{.threads = threads}};
    moe::tape<T> tape;
    const auto step = [&] {
        layer.forward(infers, in, y.view());
        layer.forward(trains, in, y.view(), tape);
        layer.backward(trains, dy.view(), tape, dx.view(), gradient);
    };
    const auto all = [&] { return infers.scratch().capacity() + trains.scratch().capacity() + tape.memory().capacity(); };
    step();
    const std::size_t cold = all();
    step();
    CHECK(all() == cold);
    return {static_cast<double>(infers.scratch().peak()), static_cast<double>(trains.scratch().peak()),
            static_cast<double>(tape.memory().peak())};
}

// What kernels take beside the formula: tiles of every thread, a list of strips.
constexpr double kernels_of_a_thread = 320 * 1024;

void check(const char* what, double measured, double formula, double of_kernels) {
    INFO(what << ": measured " << measured << ", formula " << formula);
    CHECK(measured >= formula);
    CHECK(measured <= 1.002 * formula + of_kernels);
}

}  // namespace

TEST_CASE("a forward and a training step take the memory that the formulas state, and no more when warm") {
    using T = float;
    for (const sizes& s : {sizes{300, 96, 80, 16, 4}, {200, 33, 130, 40, 3}}) {
        for (const index_t threads : {1, 2}) {
            INFO("tokens " << s.tokens << ", threads " << threads);
            const peaks p = measure<T>(s, threads);
            check("forward scratch", p.forward, forward_scratch<T>(s), threads * kernels_of_a_thread);
            check("backward scratch", p.backward, backward_scratch<T>(s), threads * kernels_of_a_thread);
            check("tape", p.tape, tape_memory<T>(s), 4096);
        }
    }
}

TEST_CASE("twice the tokens take as much more as the formulas say") {
    const sizes few{300, 96, 80, 16, 4}, many{600, 96, 80, 16, 4};
    const peaks p = measure<float>(few, 2), q = measure<float>(many, 2);
    CHECK(q.forward - p.forward == Approx(forward_scratch<float>(many) - forward_scratch<float>(few)).epsilon(0.002));
    CHECK(q.backward - p.backward == Approx(backward_scratch<float>(many) - backward_scratch<float>(few)).epsilon(0.002));
    CHECK(q.tape - p.tape == Approx(tape_memory<float>(many) - tape_memory<float>(few)).epsilon(0.002));
}
