#include "moe/train/adamw.hpp"

#include "train/models.hpp"

TEMPLATE_TEST_CASE("adamw follows its formula for scalars, arrays, matrices and panels", "", float, double) {
    using T = TestType;
    const moe::adamw_options o{.learning_rate = 0.1, .beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-3, .weight_decay = 0.2};
    models::bag<T> model, gradient;
    models::fill(model, 1.0, -0.25);
    std::vector<double> w = models::values(model);
    std::vector<double> m(w.size(), 0.0), v(w.size(), 0.0);
    moe::adamw optimizer(o);
    for (int step = 1; step <= 4; ++step) {
        models::fill(gradient, -0.5 * step, 0.125);
        const std::vector<double> g = models::values(gradient);
        optimizer.step(model, gradient);
        CHECK(optimizer.steps() == std::uint64_t(step));
        const std::vector<double> got = models::values(model);
        for (std::size_t i = 0; i < w.size(); ++i) {
            m[i] = o.beta1 * m[i] + (1 - o.beta1) * g[i];
            v[i] = o.beta2 * v[i] + (1 - o.beta2) * g[i] * g[i];
            w[i] -= o.learning_rate * o.weight_decay * w[i];
            const double m_hat = m[i] / (1 - std::pow(o.beta1, step));
            const double v_hat = v[i] / (1 - std::pow(o.beta2, step));
            w[i] -= o.learning_rate * m_hat / (std::sqrt(v_hat) + o.epsilon);
            REQUIRE(std::abs(got[i] - w[i]) <= tolerance<T>::value);
        }
    }
}

TEST_CASE("adamw's first step moves every weight by the learning rate against its gradient's sign") {
    models::bag<double> model, gradient;
    models::fill(gradient, -1.1, 0.25);
    moe::adamw optimizer({.learning_rate = 0.01, .weight_decay = 0.0});
    optimizer.step(model, gradient);
    const auto w = models::values(model);
    const auto g = models::values(gradient);
    for (std::size_t i = 0; i < w.size(); ++i) CHECK(w[i] == Approx(g[i] == 0 ? 0 : g[i] < 0 ? 0.01 : -0.01).margin(1e-9));
}

TEST_CASE("adamw trains a layer and any_layer by the same bits") {
    moe::cpu b;
    auto plain = models::small_layer(1);
    moe::any_layer<float> any = models::small_layer(1);
    moe::adamw one({.learning_rate = 0.01}), two({.learning_rate = 0.01});
    double before = 0.0, after = 0.0;
    for (int step = 0; step < 40; ++step) {
        after = models::train(b, plain, one);
        if (step == 0) before = after;
        REQUIRE(models::train(b, any, two) == after);
    }
    CHECK(after < 0.7 * before);
    CHECK(models::values(plain) == models::values(any));
}

TEST_CASE("adamw gives the same bits on the backend's threads") {
    moe::cpu b{{.threads = 2}};
    moe::adamw first, second;
    models::stack serial, threaded;
    auto g = serial.make_gradient();
    moe::visit_parameters(
        [](const moe::parameter_name&, const auto&, auto& d) {
            float next = -1.0f;
            for (float& e : moe::flat(d)) e = next += 0.01f;
        },
        serial, g);
    for (int step = 0; step < 3; ++step) {
        first.step(serial, g);
        second.step(b, threaded, g);
    }
    CHECK(models::values(serial) == models::values(threaded));
    CHECK(models::values(serial) != models::values(models::stack{}));
}

TEST_CASE("adamw keeps the padding of panels at zero and a NaN in its own element") {
    models::bag<double> model, gradient;
    models::fill(model, 1.0, 0.0);
    models::fill(gradient, 1.0, 0.0);
    gradient.array[1] = std::numeric_limits<double>::quiet_NaN();
    moe::adamw optimizer;
    optimizer.step(model, gradient);
    CHECK(std::isnan(model.array[1]));
    CHECK(std::isfinite(model.array[0]));
    CHECK(std::isfinite(model.array[2]));
    for (moe::index_t n = 3; n < moe::panels<double>::width; ++n) CHECK(model.weights.panel(0, 0)[n] == 0.0);
}

TEST_CASE("adamw refuses options out of range") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(moe::adamw({.learning_rate = nan}), "moe: adamw.learning_rate: wanted at least 0, got nan");
    CHECK_THROWS_WITH(moe::adamw({.beta1 = 1.0}), "moe: adamw.beta1: wanted at least 0 and below 1, got 1.000000");
    CHECK_THROWS_WITH(moe::adamw({.beta2 = -0.1}), "moe: adamw.beta2: wanted at least 0 and below 1, got -0.100000");
    CHECK_THROWS_WITH(moe::adamw({.epsilon = 0.0}), "moe: adamw.epsilon: wanted above 0, got 0.000000");
    CHECK_THROWS_WITH(moe::adamw({.weight_decay = -1.0}), "moe: adamw.weight_decay: wanted at least 0, got -1.000000");
    moe::adamw optimizer;
    optimizer.options.beta1 = nan;
    models::bag<double> model, gradient;
    CHECK_THROWS_AS(optimizer.step(model, gradient), moe::value_error);
}
