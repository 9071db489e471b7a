#include "moe/layer/half_precision.hpp"

#include "moe/testing/layer_laws.hpp"
#include "moe/testing/random.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"

#include "moe/moe.hpp"

namespace {

auto small_layer() {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = 9, .experts = 4}}, moe::softmax{},
                                  moe::top_k{.k = 2}, moe::renormalize{}},
                      moe::swiglu_bank<float>{{.features = 9, .hidden = 7, .experts = 4}}};
}

template <class U, class T>
moe::matrix<U> converted(const moe::matrix<T>& from) {
    moe::matrix<U> to(from.rows(), from.cols());
    moe::reference b;
    moe::convert(b, from.view(), to.view());
    return to;
}

}  // namespace

TEMPLATE_TEST_CASE("a layer of half-width x and y computes on the widened x and rounds y once", "", moe::bfloat16,
                   moe::float16) {
    using half = TestType;
    const auto layer = small_layer();
    const moe::matrix<half> x = converted<half>(moe::testing::random_matrix<float>(6, 9, 1));
    const moe::matrix<float> wide = converted<float>(x);
    moe::cpu cpu{{.threads = 2}};
    const moe::matrix<float> expected = layer(cpu, wide);

    moe::matrix<half> y(6, 9);
    layer(cpu, x, y);
    for (moe::index_t t = 0; t < 6; ++t) {
        for (moe::index_t j = 0; j < 9; ++j) CHECK(y(t, j).bits == half(expected(t, j)).bits);
    }
    CHECK(moe::testing::same_bits(layer(cpu, x), expected));

    moe::matrix<float> full(6, 9);
    layer(cpu, x.view(), full.view());
    CHECK(moe::testing::same_bits(full, expected));
    const std::vector<half> flat(x.span().begin(), x.span().end());
    layer(cpu, flat, full);
    CHECK(moe::testing::same_bits(full, expected));
    moe::matrix<half> narrow(6, 9);
    layer(cpu, wide, narrow.view());
    CHECK(narrow(5, 8).bits == y(5, 8).bits);
}

TEST_CASE("half-width x and y of a wrong shape are refused by name, and cost no memory when warm") {
    const auto layer = small_layer();
    moe::cpu cpu;
    const moe::matrix<moe::bfloat16> x(3, 9);
    moe::matrix<moe::bfloat16> y(3, 9), short_y(2, 9), narrow_x(3, 8);
    CHECK_THROWS_WITH(layer(cpu, x, short_y), "moe: y: wanted [3, 9], got [2, 9]");
    CHECK_THROWS_WITH(layer(cpu, narrow_x, y), "moe: x: wanted [3, 9], got [3, 8]");
    layer(cpu, x, y);
    const std::size_t warm = cpu.scratch().capacity();
    layer(cpu, x, y);
    CHECK(cpu.scratch().capacity() == warm);
}
