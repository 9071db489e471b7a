// tests/route: one route step alone on hand-made routes
#pragma once

#include <vector>

#include "moe/core/roles.hpp"
#include "support/backends.hpp"

struct hand_routes {
    std::vector<moe::index_t> offset, expert;
    std::vector<double> weight;
};

// What the step makes of the routes on the reference backend. Behind a step that writes the choice, dead slots lose their
// weight, as in the router.
template <class Step>
hand_routes apply(const Step& step, hand_routes r, moe::batch<double> in = {}, moe::matrix_view<const double> scores = {},
                  moe::index_t experts = 8) {
    moe::reference backend;
    moe::arena kept;
    moe::routing<double> s;
    if (in.x.rows == 0) in.x = {nullptr, static_cast<moe::index_t>(r.offset.size()) - 1, 0};
    s.batch_of_call = &in;
    s.experts = experts;
    s.logits = s.scores = s.keys = scores;
    s.routes = {r.offset, r.expert, r.weight, 0};
    s.memory = &kept;
    using X = moe::detail::written_t<Step, moe::reference, double>;
    if constexpr (std::is_same_v<X, moe::choice>) {
        s.routes.expert = {};
        step.forward(backend, s, moe::choice{r.offset, r.expert});
    } else if constexpr (std::is_same_v<X, std::span<double>>) {
        s.routes.weight = {};
        (void)moe::detail::value_of([&] { return step.forward(backend, s, std::span<double>(r.weight)); });
    } else {
        s.routes.expert = {};
        s.routes.weight = {};
        (void)moe::detail::value_of(
            [&] { return step.forward(backend, s, moe::routes_view<double>{r.offset, r.expert, r.weight}); });
    }
    for (std::size_t i = 0; i < r.expert.size() && !std::is_same_v<X, std::span<double>>; ++i) {
        if (r.expert[i] < 0) r.weight[i] = 0;
    }
    return r;
}
