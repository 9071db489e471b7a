#include "train/losses.hpp"

namespace {

template <class Capacity>
auto layer_with(const Capacity& capacity) {
    const moe::router router{moe::linear_gate<double>{{.features = 5, .experts = 4, .seed = 11}}, moe::softmax{},
                             moe::top_k{.k = 2}, capacity};
    const moe::ffn_bank<double, moe::silu> bank{{.features = 5, .hidden = 3, .experts = 4}};
    if constexpr (std::is_same_v<Capacity, moe::capacity>) return moe::layer{router, bank};
    else return moe::layer{router, moe::banks{bank, moe::identity_bank<double>{{.features = 5, .experts = 1}}}};
}

template <class Loss>
double value_of(const auto& layer, const Loss& loss) {
    moe::reference b;
    const auto x = moe::testing::random_matrix<double>(7, 5, 3);
    moe::batch<double> in;
    in.x = x;
    moe::matrix<double> y(7, 5);
    moe::tape<double> tape;
    layer.forward(b, in, y.view(), tape);
    return loss(b, tape);
}

}  // namespace

TEST_CASE("losses count what passes to an appended expert as dropped") {
    const moe::capacity_options two{.count = 2};
    const auto drops = layer_with(moe::capacity{two});
    auto passes = layer_with(moe::capacity_pass{two});
    moe::reference b;
    const auto x = moe::testing::random_matrix<double>(7, 5, 3);
    moe::batch<double> in;
    in.x = x;
    const auto same = [&](const auto& loss) {
        CHECK(value_of(passes, loss) == value_of(drops, loss));
        CHECK(value_of(passes, loss) != 0.0);
        const auto report = moe::testing::check_gradients(b, passes, in, loss);
        INFO(report.where);
        CHECK(report.worst <= difference_tolerance);
    };
    same(moe::load_balance{.scope = moe::loss_scope::sequence});
    same(moe::load_balance{.from = moe::probabilities::route_weights});
    same(moe::soft_balance{});
    same(moe::importance_cv2{.from = moe::probabilities::route_weights});
    same(moe::router_similarity{});
    same(moe::tsallis_entropy{.q = 2.0});
}

TEST_CASE("counts for a global batch leave an appended expert out") {
    const auto layer = layer_with(moe::capacity_pass{{.count = 0}});
    moe::route_counts counts(4);
    const auto counted = [&](moe::reference&, moe::tape<double>& tape) {
        counts.add(tape.plan(), tape.routing());
        return 0.0;
    };
    (void)value_of(layer, counted);
    CHECK(counts.load().slots == 14.0);
    for (const double n : counts.load().count) CHECK(n == 0.0);
}
