#include "moe/core/parameter.hpp"

#include "moe/core/tensor_ref.hpp"
#include "support/catch.hpp"

namespace {

struct leaf {
    moe::matrix<double> weight{2, 3};
    double temperature = 1.0;

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("weight", p.weight...);
        v("temperature", p.temperature...);
    }
};

struct model {
    leaf first, second;
    moe::buffer<float> bias{4};

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        leaf::parameters(moe::nested(v, "first"), p.first...);
        leaf::parameters(moe::nested(v, "blocks", 1), p.second...);
    }
    template <class V, class... P>
    static void state(V&& v, P&... p) {
        v("bias", p.bias...);
    }
};

}  // namespace

TEST_CASE("a visitor sees every parameter of nested parts under its path, with its gradient in step") {
    model m;
    m.second.temperature = 3.0;
    auto g = moe::make_gradient(m);
    std::vector<std::string> names;
    std::size_t elements = 0;
    moe::visit_parameters(
        [&](const moe::parameter_name& name, auto& value, auto& gradient) {
            names.push_back(name.text());
            CHECK(moe::flat(value).size() == moe::flat(gradient).size());
            for (const auto v : moe::flat(gradient)) CHECK(v == 0.0);
            elements += moe::flat(value).size();
        },
        m, g);
    CHECK(names == std::vector<std::string>{"first.weight", "first.temperature", "1.weight", "1.temperature"});
    CHECK(elements == 14);
    CHECK(m.second.temperature == 3.0);
}

TEST_CASE("every tensor is named once, parameters before state, with its shape and type") {
    model m;
    std::vector<std::string> seen;
    moe::for_each_tensor(m, [&](const moe::parameter_name& name, const moe::tensor_ref& t) {
        seen.push_back(name.text() + " " + t.shape().text() + " " + moe::name_of(t.type()));
    });
    CHECK(seen == std::vector<std::string>{"first.weight [2, 3] float64", "first.temperature [] float64",
                                           "1.weight [2, 3] float64", "1.temperature [] float64",
                                           "bias [4] float32"});
}
