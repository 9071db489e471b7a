// What a user may build beside the library's parts: one small type for each kind of room the layer keeps.
#include "experts/around.hpp"
#include "moe/experts/borrow.hpp"
#include "moe/experts/callable_bank.hpp"
#include "moe/experts/ffn_bank.hpp"

namespace {

using moe::index_t;
using moe::matrix_view;

template <class T>
using pair_bank = moe::swiglu_bank<T>;
template <class T>
pair_bank<T> small_bank(index_t features, index_t experts) {
    return {{.features = features, .hidden = 3, .experts = experts, .bias = true, .seed = 8}};
}

template <class Layer>
void check_layer(Layer& layer, const moe::batch<double>& in) {
    randomise(layer);
    const auto check = [&](auto& backend) {
        const auto report = moe::testing::check_gradients(backend, layer, in);
        INFO(report.where);
        CHECK(report.worst <= difference_tolerance);
        CHECK(report.nonzero);
        CHECK(moe::testing::taped_equals_inference(backend, layer, in) == "");
    };
    moe::reference plain;
    moe::cpu cpu{{.threads = 2}};
    check(plain);
    check(cpu);
}

// A learned score per vocabulary id, added to the scores: reads batch.token_id.
struct id_scores {
    using role = moe::score_step;
    static constexpr const char* name = "id_scores";
    static constexpr unsigned needs = moe::needs_token_id;

    moe::matrix<double> table;  // [vocabulary, experts]

    template <class B>
    void forward(B& b, const moe::routing<double>& s, matrix_view<double> scores) const {
        moe::kernels_of<B>::for_rows(b, scores.rows, [id = s.in().token_id, scores, t = table.view()](index_t i) {
            for (index_t e = 0; e < scores.cols; ++e) scores(i, e) += t(id[std::size_t(i)], e);
        });
    }
    template <class B>
    void backward(B&, const moe::routing<double>& before, const moe::routing<double>&, moe::adjoint<double>& d,
                  id_scores& g) const {
        for (index_t t = 0; t < d.scores.rows; ++t) {
            for (index_t e = 0; e < d.scores.cols; ++e)
                g.table(before.in().token_id[std::size_t(t)], e) += d.scores(t, e);
        }
    }
    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("table", p.table...);
    }
};

// logits = W x + state; the next layer's state is the sine of the logits. Reads batch.state, writes batch.next_state.
struct recurrent_gate {
    using role = moe::gate_step;
    using scalar = double;
    static constexpr const char* name = "recurrent_gate";
    static constexpr unsigned needs = moe::needs_state | moe::needs_next_state;

    moe::matrix<double> weight;  // [experts, features]

    index_t features() const { return weight.cols(); }
    index_t columns() const { return weight.rows(); }

    template <class B>
    void forward(B& b, const moe::routing<double>& s, matrix_view<double> logits) const {
        moe::kernels_of<B>::for_rows(b, logits.rows, [in = s.in(), logits, w = weight.view()](index_t t) {
            for (index_t e = 0; e < w.rows; ++e) {
                logits(t, e) = in.state(t, e);
                for (index_t j = 0; j < w.cols; ++j) logits(t, e) += w(e, j) * in.features(t, j);
                in.next_state(t, e) = std::sin(logits(t, e));
            }
        });
    }
    template <class B>
    void backward(B&, const moe::routing<double>& before, const moe::routing<double>& after, moe::adjoint<double>& d,
                  recurrent_gate& g) const {
        for (index_t t = 0; t < d.logits.rows; ++t) {
            for (index_t e = 0; e < weight.rows(); ++e) {
                const double dz = d.logits(t, e) + std::cos(after.logits(t, e)) * d.next_state(t, e);
                d.state(t, e) += dz;
                for (index_t j = 0; j < weight.cols(); ++j) {
                    g.weight(e, j) += dz * before.in().features(t, j);
                    d.features(t, j) += dz * weight(e, j);
                }
            }
        }
    }
    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
    }
};

// Takes the best expert and weighs it with score squared over the sum of the squares, which depends on all scores.
struct squared_share {
    using role = moe::selector_step;
    static constexpr const char* name = "squared_share";

    template <class T>
    index_t width(const moe::batch<T>&, index_t) const {
        return 1;
    }
    template <class B, class T>
    void forward(B&, const moe::routing<T>& s, moe::choice c) const {
        for (index_t t = 0; t < s.tokens(); ++t) {
            index_t best = 0;
            for (index_t e = 1; e < s.keys.cols; ++e) best = s.keys(t, best) < s.keys(t, e) ? e : best;
            c.expert[std::size_t(t)] = best;
        }
    }
    template <class T>
    struct saved {
        std::span<T> sum;
    };
    template <class B, class T>
    saved<T> weigh(B&, const moe::routing<T>& s, std::span<T> weight) const {
        const saved<T> kept{s.memory->template take<T>(std::size_t(s.tokens()))};
        for (index_t t = 0; t < s.tokens(); ++t) {
            T sum = 0;
            for (index_t e = 0; e < s.scores.cols; ++e) sum += s.scores(t, e) * s.scores(t, e);
            kept.sum[std::size_t(t)] = sum;
            const index_t e = s.routes.expert[std::size_t(t)];
            weight[std::size_t(t)] = e < 0 ? T(0) : s.scores(t, e) * s.scores(t, e) / sum;
        }
        return kept;
    }
    template <class B, class T>
    void backward(B&, const moe::routing<T>&, const moe::routing<T>& after, moe::adjoint<T>& d,
                  const saved<T>& kept) const {
        for (index_t t = 0; t < after.tokens(); ++t) {
            const index_t chosen = after.routes.expert[std::size_t(t)];
            if (chosen < 0) continue;
            const T dw = d.weight[std::size_t(t)];
            const T best = after.scores(t, chosen);
            const T sum = kept.sum[std::size_t(t)];
            for (index_t e = 0; e < after.scores.cols; ++e) {
                d.scores(t, e) -= dw * best * best / (sum * sum) * 2 * after.scores(t, e);
            }
            d.scores(t, chosen) += dw * 2 * best / sum;
        }
    }
};

// Soft mixture: expert e sees one row, the tokens mixed by a softmax over tokens of its logits, and everybody gets it.
struct mixing_bank {
    using role = moe::experts_part;
    using scalar = double;

    moe::matrix<double> scale;  // [experts, features]: row = scale * mixed token, squared

    index_t features() const { return scale.cols(); }
    index_t experts() const { return scale.rows(); }

    struct saved {
        matrix_view<double> dispatch;  // [T,E]
        matrix_view<double> mixed;     // [E,D]
    };

    template <class B>
    saved forward(B&, const moe::routing<double>& s, const moe::plan_view& plan, matrix_view<double> rows) const {
        const saved kept{s.memory->take<double>(s.tokens(), experts()), s.memory->take<double>(experts(), features())};
        for (index_t e = 0; e < experts(); ++e) {
            double sum = 0;
            for (index_t t = 0; t < s.tokens(); ++t) sum += kept.dispatch(t, e) = std::exp(s.logits(t, e));
            for (index_t j = 0; j < features(); ++j) kept.mixed(e, j) = 0;
            for (index_t t = 0; t < s.tokens(); ++t) {
                kept.dispatch(t, e) /= sum;
                for (index_t j = 0; j < features(); ++j) kept.mixed(e, j) += kept.dispatch(t, e) * s.in().x(t, j);
            }
            for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
                for (index_t j = 0; j < features(); ++j) rows(r, j) = scale(e, j) * kept.mixed(e, j) * kept.mixed(e, j);
            }
        }
        return kept;
    }
    template <class B>
    void backward(B&, const moe::routing<double>& s, const moe::plan_view& plan, matrix_view<const double> d_rows,
                  moe::adjoint<double>& d, const saved& kept, mixing_bank& g) const {
        for (index_t e = 0; e < experts(); ++e) {
            std::vector<double> d_mixed(std::size_t(features()), 0.0);
            for (index_t r = plan.begin(e); r < plan.end(e); ++r) {
                for (index_t j = 0; j < features(); ++j) {
                    g.scale(e, j) += d_rows(r, j) * kept.mixed(e, j) * kept.mixed(e, j);
                    d_mixed[std::size_t(j)] += d_rows(r, j) * scale(e, j) * 2 * kept.mixed(e, j);
                }
            }
            double mean = 0;
            const auto d_dispatch = [&](index_t t) {
                double sum = 0;
                for (index_t j = 0; j < features(); ++j) sum += d_mixed[std::size_t(j)] * s.in().x(t, j);
                return sum;
            };
            for (index_t t = 0; t < s.tokens(); ++t) mean += kept.dispatch(t, e) * d_dispatch(t);
            for (index_t t = 0; t < s.tokens(); ++t) {
                d.logits(t, e) += kept.dispatch(t, e) * (d_dispatch(t) - mean);
                for (index_t j = 0; j < features(); ++j) d.x(t, j) += kept.dispatch(t, e) * d_mixed[std::size_t(j)];
            }
        }
    }
    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("scale", p.scale...);
    }
};

// Bans expert 1 in three places: -inf logits in front of the softmax, zero scores behind it, dropped routes.
struct ban_logit {
    using role = moe::score_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, matrix_view<T> scores) const {
        for (index_t t = 0; t < scores.rows; ++t) scores(t, 1) = -std::numeric_limits<T>::infinity();
    }
    template <class B, class T>
    void backward(B&, const moe::routing<T>&, const moe::routing<T>&, moe::adjoint<T>& d) const {
        for (index_t t = 0; t < d.scores.rows; ++t) d.scores(t, 1) = T(0);
    }
};
struct ban_score {
    using role = moe::score_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, matrix_view<T> scores) const {
        for (index_t t = 0; t < scores.rows; ++t) scores(t, 1) = T(0);
    }
    template <class B, class T>
    void backward(B&, const moe::routing<T>&, const moe::routing<T>&, moe::adjoint<T>& d) const {
        for (index_t t = 0; t < d.scores.rows; ++t) d.scores(t, 1) = T(0);
    }
};
struct ban_weight {
    using role = moe::route_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::choice c) const {
        for (index_t& e : c.expert) e = e == 1 ? -1 : e;
    }
};

// Logical experts to the places where their weights lie.
struct placement {
    using role = moe::route_step;
    std::vector<index_t> physical;

    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::routes_view<T> routes) const {
        for (index_t& e : routes.expert) e = e < 0 ? e : physical[std::size_t(e)];
    }
    template <class B, class T>
    void backward(B&, const moe::routing<T>&, const moe::routing<T>&, moe::adjoint<T>&) const {}
};

// Counts and sums what passes; what it sees must be finished, unweighted rows and their gradients.
struct seen {
    int forwards = 0, backwards = 0;
    double rows = 0, gradients = 0;
    index_t live = 0;
    bool scores = false;
};
struct watcher {
    using role = moe::observer_part;
    seen* notes;

    template <class T>
    void forward(const moe::routing<T>& s, const moe::plan_view& plan, matrix_view<const T> rows) const {
        ++notes->forwards;
        notes->live = plan.rows();
        notes->scores = s.scores.data != nullptr && s.routes.weight.size() == s.routes.expert.size();
        notes->rows = total(rows);
    }
    template <class T>
    void backward(const moe::routing<T>&, const moe::plan_view&, matrix_view<const T> d_rows) const {
        ++notes->backwards;
        notes->gradients = total(d_rows);
    }

private:
    template <class T>
    static double total(matrix_view<const T> m) {
        double sum = 0;
        for (index_t r = 0; r < m.rows; ++r) {
            for (const T v : m[r]) sum += double(v);
        }
        return sum;
    }
};

}  // namespace

TEST_CASE("room: a router may see features other than the experts' x") {
    moe::layer layer{small_router<double>(3, 4), small_bank<double>(5, 4)};
    const auto x = moe::testing::random_matrix<double>(5, 5, 1);
    const auto features = moe::testing::random_matrix<double>(5, 3, 2);
    moe::batch<double> in;
    in.x = x;
    in.features = features;
    check_layer(layer, in);
    in.features = {};
    moe::matrix<double> y(5, 5);
    moe::reference backend;
    CHECK_THROWS_AS(layer.forward(backend, in, y.view()), moe::shape_error);
}

TEST_CASE("room: a step may read token ids, and says so when they are missing") {
    moe::layer layer{moe::router{moe::linear_gate<double>{{.features = 5, .experts = 4}}, moe::softmax{},
                                 id_scores{moe::matrix<double>(3, 4)}, moe::top_k{.k = 2}},
                     small_bank<double>(5, 4)};
    const auto x = moe::testing::random_matrix<double>(4, 5, 1);
    const index_t ids[] = {2, 0, 1, 0};
    moe::batch<double> in;
    in.x = x;
    in.token_id = ids;
    check_layer(layer, in);
    in.token_id = {};
    moe::matrix<double> y(4, 5);
    moe::reference backend;
    CHECK_THROWS_WITH(layer.forward(backend, in, y.view()),
                      "moe: router: step 2 (id_scores): wanted batch.token_id [T], got a batch without it");
}

TEST_CASE("room: router state crosses two layers, and its gradient comes back") {
    const auto make = [] {
        moe::layer layer{moe::router{recurrent_gate{moe::matrix<double>(3, 4)}, moe::softmax{}, moe::top_k{.k = 2}},
                         small_bank<double>(4, 3)};
        randomise(layer);
        return layer;
    };
    auto first = make();
    auto second = make();
    const auto x = moe::testing::random_matrix<double>(4, 4, 1);
    const auto dy = moe::testing::random_matrix<double>(4, 4, 2);
    const moe::matrix<double> none(4, 3);
    moe::matrix<double> between(4, 3), last(4, 3), middle(4, 4), y(4, 4);
    moe::reference backend;
    moe::tape<double> one, two;
    const auto forward = [&] {
        moe::batch<double> in;
        in.x = x;
        in.state = none;
        in.next_state = between;
        first.forward(backend, in, middle.view(), one);
        in.state = between;
        in.next_state = last;
        in.x = middle;
        second.forward(backend, in, y.view(), two);
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += y.data()[i] * dy.data()[i];
        return sum;
    };
    forward();
    auto g_first = first.make_gradient();
    auto g_second = second.make_gradient();
    moe::matrix<double> d_middle(4, 4), dx(4, 4);
    second.backward(backend, dy.view(), two, d_middle.view(), g_second);
    moe::kernels_of<moe::reference>::add(backend, two.d.state, one.d.next_state);
    first.backward(backend, d_middle.view(), one, dx.view(), g_first);
    // The first gate's weights act on the second layer's routing through the state.
    auto& weight = first.router().step<0>().weight;
    for (index_t e = 0; e < 3; ++e) {
        for (index_t j = 0; j < 4; ++j) {
            const double before = weight(e, j);
            weight(e, j) = before + 1e-6;
            const double above = forward();
            weight(e, j) = before - 1e-6;
            const double below = forward();
            weight(e, j) = before;
            CHECK(std::get<0>(std::get<0>(g_first)).weight(e, j) == Approx((above - below) / 2e-6).margin(1e-7));
        }
    }
}

TEST_CASE("room: a selector may weigh its routes by a rule of its own, with its gradient") {
    moe::layer layer{
        moe::router{moe::linear_gate<double>{{.features = 5, .experts = 4}}, moe::softmax{}, squared_share{}},
        small_bank<double>(5, 4)};
    const auto x = moe::testing::random_matrix<double>(5, 5, 1);
    const std::uint8_t mask[] = {1, 1, 0, 1, 1};
    moe::batch<double> in;
    in.x = x;
    in.mask = mask;
    check_layer(layer, in);
}

TEST_CASE("room: experts may be wider than x, or a user's callable on rows") {
    const auto twice = [](index_t e, matrix_view<const float> x, matrix_view<float> y) {
        for (index_t r = 0; r < x.rows; ++r) {
            for (index_t j = 0; j < y.cols; ++j) y(r, j) = float(e + 1) * x(r, j % x.cols);
        }
    };
    const moe::layer layer{small_router<float>(2, 1, 1), moe::callable_bank<float, decltype(twice)>{
                                                             {.features = 2, .outputs = 4, .experts = 1}, twice}};
    CHECK(layer.outputs() == 4);
    moe::cpu backend;
    const auto x = moe::testing::random_matrix<float>(2, 2, 1);
    moe::matrix<float> y(2, 4);
    layer(backend, x, y);
    CHECK(y(1, 3) == x(1, 1));
    moe::layer wide{small_router<double>(5, 4),
                    moe::gelu_bank<double>{{.features = 5, .hidden = 3, .experts = 4, .outputs = 8}}};
    const auto tokens = moe::testing::random_matrix<double>(3, 5, 1);
    moe::batch<double> in;
    in.x = tokens;
    check_layer(wide, in);
}

TEST_CASE("room: two layers may share one bank that neither owns") {
    const auto bank = small_bank<float>(5, 4);
    const moe::layer first{small_router<float>(5, 4), moe::borrow(bank)};
    const moe::layer second{small_router<float>(5, 4, 3), moe::borrow(bank)};
    CHECK(&first.experts().bank() == &second.experts().bank());
}

TEST_CASE("room: an expert's row may be a weighted mixture of tokens") {
    moe::layer layer{
        moe::router{moe::linear_gate<double>{{.features = 4, .experts = 3}}, moe::softmax{}, moe::top_k{.k = 3}},
        mixing_bank{moe::matrix<double>(3, 4)}};
    const auto x = moe::testing::random_matrix<double>(5, 4, 1);
    moe::batch<double> in;
    in.x = x;
    check_layer(layer, in);
}

TEST_CASE("room: masks stand at the logits, at the scores or at the weights, each with its own meaning") {
    const auto x = moe::testing::random_matrix<double>(5, 4, 1);
    moe::batch<double> in;
    in.x = x;
    const moe::linear_gate<double> gate{{.features = 4, .experts = 3}};
    moe::layer at_logits{moe::router{gate, ban_logit{}, moe::softmax{}, moe::top_k{.k = 2}}, small_bank<double>(4, 3)};
    moe::layer at_scores{moe::router{gate, moe::softmax{}, ban_score{}, moe::top_k{.k = 2}}, small_bank<double>(4, 3)};
    moe::layer at_weights{moe::router{gate, moe::softmax{}, moe::top_k{.k = 3}, ban_weight{}},
                          small_bank<double>(4, 3)};
    check_layer(at_logits, in);
    check_layer(at_scores, in);
    check_layer(at_weights, in);
    moe::reference backend;
    moe::arena memory;
    const auto sum = [&](const auto& layer, index_t t) {
        const auto routes = layer.route(backend, in, memory).routes;
        double total = 0;
        for (index_t slot = routes.begin(t); slot < routes.end(t); ++slot) {
            CHECK(routes.expert[std::size_t(slot)] != 1);
            total += routes.weight[std::size_t(slot)];
        }
        return total;
    };
    // Banned in front of the softmax, the others share all of the mass; banned later, expert 1's mass is lost.
    for (index_t t = 0; t < 5; ++t) {
        CHECK(sum(at_logits, t) == Approx(1.0));
        CHECK(sum(at_scores, t) < 0.999);
        CHECK(sum(at_weights, t) < 0.999);
    }
}

TEST_CASE("room: a route step may rename experts to the places where they lie") {
    const moe::linear_gate<double> gate{{.features = 4, .experts = 3, .seed = 5}};
    auto bank = small_bank<double>(4, 3);
    randomise(bank);
    auto moved = bank;
    const std::vector<index_t> physical{2, 0, 1};
    for (index_t e = 0; e < 3; ++e) {
        const index_t p = physical[std::size_t(e)];
        for (index_t n = 0; n < 3; ++n) {
            for (index_t j = 0; j < 4; ++j) {
                moved.gate(p, n, j) = bank.gate(e, n, j);
                moved.up(p, n, j) = bank.up(e, n, j);
                moved.down(p, j, n) = bank.down(e, j, n);
            }
            moved.gate_bias(p, n) = bank.gate_bias(e, n);
            moved.up_bias(p, n) = bank.up_bias(e, n);
        }
        for (index_t j = 0; j < 4; ++j) moved.down_bias(p, j) = bank.down_bias(e, j);
    }
    const moe::layer logical{moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}}, bank};
    moe::layer placed{moe::router{gate, moe::softmax{}, moe::top_k{.k = 2}, placement{physical}}, moved};
    const auto x = moe::testing::random_matrix<double>(5, 4, 1);
    moe::batch<double> in;
    in.x = x;
    moe::reference backend;
    auto a = moe::testing::train_once(backend, logical, in);
    auto b = moe::testing::train_once(backend, placed, in);
    CHECK(relative_error(b.y.view(), a.y.view()) <= tolerance<double>::value);
    CHECK(relative_error(b.dx.view(), a.dx.view()) <= tolerance<double>::value);
    const auto& g = std::get<0>(std::get<0>(a.gradient)).weight;
    const auto& h = std::get<0>(std::get<0>(b.gradient)).weight;
    for (index_t e = 0; e < 3; ++e) CHECK(h(0, e, 2) == Approx(g(0, e, 2)).margin(1e-12));
    check_layer(placed, in);
}

TEST_CASE("room: an observer sees rows before weighting and their gradients, and changes nothing") {
    seen notes;
    const auto router = small_router<double>(5, 4);
    const auto bank = small_bank<double>(5, 4);
    const moe::layer plain{router, bank};
    const moe::layer watched{router, bank, watcher{&notes}};
    const auto x = moe::testing::random_matrix<double>(6, 5, 1);
    moe::batch<double> in;
    in.x = x;
    moe::reference backend;
    const auto a = moe::testing::train_once(backend, plain, in);
    const auto b = moe::testing::train_once(backend, watched, in);
    CHECK(moe::testing::same_bits(a.y, b.y));
    CHECK(moe::testing::same_bits(a.dx, b.dx));
    CHECK(notes.forwards == 1);
    CHECK(notes.backwards == 1);
    CHECK(notes.live == 12);
    CHECK(notes.scores);
    CHECK(std::isfinite(notes.rows));
    CHECK(std::isfinite(notes.gradients));
    CHECK(notes.gradients != 0.0);
    (void)moe::testing::infer(backend, watched, in);
    CHECK(notes.forwards == 2);
}
