// What the tests of gates, score steps and key steps share: a gate that copies, one row through a router, the laws of a
// small layer around a step.
#pragma once

#include <initializer_list>
#include <limits>

#include "moe/backend/cpu.hpp"
#include "moe/moe.hpp"
#include "moe/testing/gradient_check.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// Logits are the features themselves, whatever their bits.
template <class T>
struct copy_gate {
    using role = moe::gate_step;
    using scalar = T;

    moe::index_t width = 1;

    moe::index_t features() const { return width; }
    moe::index_t columns() const { return width; }

    template <class B>
    void forward(B& b, const moe::routing<T>& s, moe::matrix_view<T> logits) const {
        moe::kernels_of<B>::copy(b, s.in().features, logits);
    }
    template <class B>
    void backward(B& b, const moe::routing<T>&, const moe::routing<T>&, moe::adjoint<T>& d) const {
        moe::kernels_of<B>::add(b, moe::matrix_view<const T>(d.logits), d.features);
    }
};

template <class T>
moe::matrix<T> rows_of(std::initializer_list<std::initializer_list<double>> rows) {
    moe::matrix<T> m(moe::index_t(rows.size()), rows.size() == 0 ? 0 : moe::index_t(rows.begin()->size()));
    moe::index_t i = 0;
    for (const auto& row : rows) {
        moe::index_t j = 0;
        for (const double v : row) m(i, j++) = static_cast<T>(v);
        ++i;
    }
    return m;
}

template <class T>
moe::matrix<T> copy_of(moe::matrix_view<const T> m) {
    moe::matrix<T> c(m.rows, m.cols);
    for (moe::index_t i = 0; i < m.rows; ++i) std::copy(m.row(i), m.row(i) + m.cols, &c(i, 0));
    return c;
}

// What a router made of a batch.
template <class T>
struct routed {
    moe::matrix<T> logits, scores, keys;
    std::vector<moe::index_t> offset, expert;
    std::vector<T> weight;
};

template <class B, class Router>
auto route(const Router& router, const moe::batch<typename Router::scalar>& given) {
    using T = typename Router::scalar;
    B backend;
    moe::arena memory;
    backend.scratch().template take<char>(1 << 16);
    backend.scratch().reset();
    backend.scratch().poison(0xCD);
    moe::batch<T> in = given;
    if (in.features.data == nullptr) in.features = in.x;
    router.check(in);
    const auto s = router.route(backend, in, memory);
    return routed<T>{copy_of(s.logits),
                     copy_of(s.scores),
                     copy_of(s.keys),
                     {s.routes.offset.begin(), s.routes.offset.end()},
                     {s.routes.expert.begin(), s.routes.expert.end()},
                     {s.routes.weight.begin(), s.routes.weight.end()}};
}

// The given logits through the given steps and a top-1.
template <class On, class... Steps>
auto route_logits(std::initializer_list<std::initializer_list<double>> logits, Steps... steps) {
    using T = typename On::scalar;
    const auto x = rows_of<T>(logits);
    moe::batch<T> in;
    in.x = x;
    return route<typename On::backend>(moe::router{copy_gate<T>{x.cols()}, steps..., moe::top_k{.k = 1}}, in);
}

// Element by element; a NaN equals a NaN and an infinity itself.
template <class T>
void check_close(const moe::matrix<T>& got, std::initializer_list<std::initializer_list<double>> wanted) {
    moe::index_t i = 0;
    REQUIRE(got.rows() == moe::index_t(wanted.size()));
    for (const auto& row : wanted) {
        moe::index_t j = 0;
        REQUIRE(got.cols() == moe::index_t(row.size()));
        for (const double w : row) {
            const double g = static_cast<double>(got(i, j));
            INFO("row " << i << " column " << j << ": got " << g << ", wanted " << w);
            if (std::isnan(w)) CHECK(std::isnan(g));
            else if (std::isinf(w)) CHECK(g == w);
            else CHECK(std::abs(g - w) <= tolerance<T>::value * (1 + std::abs(w)));
            ++j;
        }
        ++i;
    }
}

// A small layer with a linear gate in front of the steps; experts have other weights each.
template <class T, class... Steps>
auto layer_around(Steps... steps) {
    return moe::layer{moe::router{moe::linear_gate<T>{{.features = 5, .experts = 8, .seed = 3}}, steps...},
                      moe::swiglu_bank<T>{{.features = 5, .hidden = 3, .experts = 8, .seed = 4}}};
}

// Central differences on both backends; true if at least one derivative of the named tensor is not 0.
template <class Layer>
void check_derivatives(Layer layer, const moe::batch<double>& in) {
    moe::reference reference;
    moe::cpu cpu;
    const auto slow = moe::testing::check_gradients(reference, layer, in);
    const auto fast = moe::testing::check_gradients(cpu, layer, in);
    INFO(slow.where << " " << slow.worst << ", " << fast.where << " " << fast.worst);
    CHECK(slow.worst <= difference_tolerance);
    CHECK(fast.worst <= difference_tolerance);
    CHECK(slow.nonzero);
    CHECK(slow.checked > 100);
}

// The laws of a layer whose choice for a token does not depend on the others, on one backend.
template <class B, class Layer, class T>
void check_laws(const Layer& layer, const moe::batch<T>& in) {
    B backend;
    CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
    CHECK(moe::testing::isolates_tokens(backend, layer, in) == "");
    CHECK(moe::testing::independent_of_batch(backend, layer, in) == "");
    moe::cpu one, three{{.threads = 3}};
    CHECK(moe::testing::same_on(one, three, layer, in) == "");
}

// The gradient with respect to the tensor whose name ends so, of the layer's random test gradient.
template <class B, class Layer, class T>
std::vector<T> gradient_of(const std::string& ending, const Layer& layer, const moe::batch<T>& in) {
    B backend;
    auto result = moe::testing::train_once(backend, layer, in);
    std::vector<T> found;
    moe::visit_parameters(
        [&](const moe::parameter_name& name, const auto&, auto& gradient) {
            const std::string text = name.text();
            if (text.size() < ending.size() || text.substr(text.size() - ending.size()) != ending) return;
            const auto values = moe::flat(gradient);
            found.assign(values.begin(), values.end());
        },
        layer, result.gradient);
    return found;
}

// The message of what f throws; empty if it throws nothing.
template <class Error, class F>
std::string thrown(const F& f) {
    try {
        f();
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

// What a router says to one token of 8 experts when its step has a bad option.
template <class Error = moe::value_error, class... Steps>
std::string refused(Steps... steps) {
    return thrown<Error>([&] { moe::router{copy_gate<float>{8}, steps..., moe::top_k{.k = 1}}; });
}
