#include "moe/train/sgd.hpp"

#include "train/models.hpp"

TEMPLATE_TEST_CASE("sgd follows its formula for scalars, arrays, matrices and panels", "", float, double) {
    using T = TestType;
    const moe::sgd_options cases[] = {{.learning_rate = 0.1},
                                      {.learning_rate = 0.1, .weight_decay = 0.2},
                                      {.learning_rate = 0.1, .momentum = 0.9},
                                      {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.2, .nesterov = true}};
    for (const auto& o : cases) {
        models::bag<T> model, gradient;
        models::fill(model, 1.0, -0.25);
        std::vector<double> w = models::values(model);
        std::vector<double> m(w.size(), 0.0);
        moe::sgd optimizer(o);
        for (int step = 0; step < 3; ++step) {
            models::fill(gradient, -0.5 + step, 0.125);
            const std::vector<double> g = models::values(gradient);
            optimizer.step(model, gradient);
            const std::vector<double> got = models::values(model);
            for (std::size_t i = 0; i < w.size(); ++i) {
                const double d = g[i] + o.weight_decay * w[i];
                m[i] = o.momentum * m[i] + d;
                w[i] -= o.learning_rate * (o.nesterov ? d + o.momentum * m[i] : m[i]);
                REQUIRE(std::abs(got[i] - w[i]) <= tolerance<T>::value);
            }
        }
    }
}

TEST_CASE("sgd trains a layer, any_layer and a model of layers by the same bits") {
    moe::cpu b;
    auto plain = models::small_layer(1);
    moe::any_layer<float> any = models::small_layer(1);
    moe::sgd one({.learning_rate = 0.01, .momentum = 0.9}), two({.learning_rate = 0.01, .momentum = 0.9});
    double before = 0.0, after = 0.0;
    for (int step = 0; step < 40; ++step) {
        after = models::train(b, plain, one);
        if (step == 0) before = after;
        REQUIRE(models::train(b, any, two) == after);
    }
    CHECK(after < 0.9 * before);
    CHECK(models::values(plain) == models::values(any));

    models::stack model;
    auto g = model.make_gradient();
    const auto fresh = models::values(model);
    g.gain = 2.0f;
    moe::sgd({.learning_rate = 0.25}).step(model, g);
    CHECK(model.gain == 0.5f);
    auto expected = fresh;
    expected.back() = 0.5;
    CHECK(models::values(model) == expected);
}

TEST_CASE("sgd gives the same bits on the backend's threads") {
    moe::cpu b{{.threads = 3}};
    models::one_tensor serial, gradient;
    for (std::size_t i = 0; i < serial.w.span().size(); ++i) {
        serial.w.span()[i] = static_cast<float>(i % 97) * 0.01f;
        gradient.w.span()[i] = static_cast<float>(i % 89) * 0.03f;
    }
    models::one_tensor threaded = serial;
    moe::sgd first({.learning_rate = 0.1, .momentum = 0.5}), second({.learning_rate = 0.1, .momentum = 0.5});
    for (int step = 0; step < 3; ++step) {
        first.step(serial, gradient);
        second.step(b, threaded, gradient);
    }
    CHECK(models::values(serial) == models::values(threaded));
}

TEST_CASE("sgd refuses options out of range and gradients of another shape, and changes nothing") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(moe::sgd({.learning_rate = -1.0}), "moe: sgd.learning_rate: wanted at least 0, got -1.000000");
    CHECK_THROWS_WITH(moe::sgd({.momentum = nan}), "moe: sgd.momentum: wanted at least 0, got nan");
    CHECK_THROWS_WITH(moe::sgd({.weight_decay = -0.5}), "moe: sgd.weight_decay: wanted at least 0, got -0.500000");
    models::bag<double> model, gradient;
    models::fill(gradient, 1.0, 0.0);
    gradient.matrix = moe::matrix<double>(2, 3);
    moe::sgd optimizer({.learning_rate = 0.1});
    CHECK_THROWS_WITH(optimizer.step(model, gradient), "moe: gradient of matrix: wanted [4], got [6]");
    CHECK(models::values(model) == models::values(models::bag<double>{}));
    moe::sgd second({.learning_rate = 0.1, .momentum = 0.9});
    models::bag<double> good;
    second.step(model, good);
    models::bag<double> wider, wider_gradient;
    wider.array = wider_gradient.array = moe::buffer<double>(5);
    CHECK_THROWS_WITH(second.step(wider, wider_gradient),
                      "moe: sgd: array: wanted the tensors of the first step in their order, got [5] as number 1");
    models::stack other;
    auto other_gradient = other.make_gradient();
    CHECK_THROWS_AS(second.step(other, other_gradient), moe::shape_error);
}
