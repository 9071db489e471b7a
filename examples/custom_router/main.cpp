// examples/custom_router: is the selector right, is its faulty brother found, and what does the margin buy?
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>

#include "hasty_near_best.hpp"
#include "moe/moe.hpp"
#include "moe/testing/laws.hpp"
#include "moe/testing/random.hpp"

namespace {

// Mean number of experts of 512 tokens, through a router on the CPU backend.
double experts_per_token(double margin) {
    const moe::router router{moe::linear_gate<float>{{.features = 32, .experts = 16}},
                             near_best{.margin = margin, .k = 4}};
    const moe::matrix<float> x = moe::testing::random_matrix<float>(512, 32, 1);
    moe::batch<float> in;
    in.x = in.features = x;
    moe::cpu cpu;
    moe::arena memory;
    const moe::routing<float> s = router.route(cpu, in, memory);
    return static_cast<double>(std::count_if(s.routes.expert.begin(), s.routes.expert.end(),
                                             [](moe::index_t e) { return e >= 0; })) /
           512;
}

}  // namespace

int main() {
    moe::cpu two({.threads = 2});
    const moe::testing::report good = moe::testing::laws(near_best{}, {}, two);
    const moe::testing::report bad = moe::testing::laws(hasty_near_best{});
    std::printf("%s\n%s\n", good.text().c_str(), bad.text().c_str());

    moe::text_table table{{{.title = "margin", .digits = 2},
                           {.title = "experts/token", .digits = 2},
                           {.title = "", .left = true}}};
    for (const double margin : {0.0, 0.1, 0.2, 0.4, 0.8, 1.6}) {
        const double n = experts_per_token(margin);
        table.row({margin, n, moe::bar{n / 4, 24}});
    }
    std::printf("%s", table.text().c_str());
    return good.empty() && !bad.empty() ? 0 : 1;
}
