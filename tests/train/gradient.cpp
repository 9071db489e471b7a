#include "moe/train/gradient.hpp"

#include "train/models.hpp"

TEST_CASE("zero_gradient clears every tensor of a layer's and of a model's gradient") {
    models::stack model;
    auto g = model.make_gradient();
    g.gain = 3.0f;
    moe::visit_parameters([](const moe::parameter_name&, const auto&, auto& d) { for (auto& v : moe::flat(d)) v = 1.0f; },
                          model, g);
    CHECK(moe::gradient_norm(model, g) > 1.0);
    moe::zero_gradient(model, g);
    CHECK(moe::gradient_norm(model, g) == 0.0);
}

TEST_CASE("the norm of a gradient is that of all its elements, in any_layer too") {
    models::bag<float> model, gradient;
    gradient.scalar = 2.0f;
    gradient.array[1] = -3.0f;
    gradient.weights(0, 2, 1) = 6.0f;
    CHECK(moe::gradient_norm(model, gradient) == 7.0);
    moe::any_layer<float> any = models::small_layer(1);
    auto g = any.make_gradient();
    moe::visit_parameters(
        [](const moe::parameter_name&, auto&, auto& d) {
            if (!moe::flat(d).empty()) moe::flat(d)[0] = 2.0f;
        },
        any, g);
    // gate.weight and the bank's three weights and three biases; the gate has no bias.
    std::size_t tensors = 0;
    moe::visit_parameters([&](const moe::parameter_name&, auto& w) { tensors += moe::flat(w).empty() ? 0 : 1; }, any);
    CHECK(moe::gradient_norm(any, g) == Approx(std::sqrt(4.0 * static_cast<double>(tensors))));
    moe::zero_gradient(any, g);
    CHECK(moe::gradient_norm(any, g) == 0.0);
}

TEST_CASE("clipping scales a gradient down to the limit and leaves smaller ones alone") {
    models::bag<double> model, gradient;
    gradient.scalar = 3.0;
    gradient.matrix(1, 0) = -4.0;
    CHECK(moe::clip_gradient_norm(model, gradient, 6.0) == 5.0);
    CHECK(gradient.scalar == 3.0);
    CHECK(moe::clip_gradient_norm(model, gradient, 1.0) == 5.0);
    CHECK(gradient.scalar == Approx(0.6));
    CHECK(gradient.matrix(1, 0) == Approx(-0.8));
    CHECK(moe::gradient_norm(model, gradient) == Approx(1.0));
    gradient.scalar = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(moe::clip_gradient_norm(model, gradient, 0.1)));
    CHECK(gradient.matrix(1, 0) == Approx(-0.8));
    CHECK_THROWS_WITH(moe::clip_gradient_norm(model, gradient, 0.0),
                      "moe: clip_gradient_norm: limit: wanted above 0, got 0.000000");
}
