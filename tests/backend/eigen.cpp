#include "moe/backend/eigen.hpp"

#include <vector>

#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

auto small_layer() {
    return moe::layer{
        moe::router{moe::linear_gate<float>{{.features = 5, .experts = 4}}, moe::softmax{}, moe::top_k{.k = 2}},
        moe::swiglu_bank<float>{{.features = 5, .hidden = 7, .experts = 4}}};
}

row_major eigen_copy(const moe::matrix<float>& m) { return Eigen::Map<const row_major>(m.data(), m.rows(), m.cols()); }

bool equal(const row_major& a, const moe::matrix<float>& b) { return a == eigen_copy(b); }

}  // namespace

TEST_CASE("a layer reads and writes Eigen matrices, maps, refs and blocks in place") {
    const auto layer = small_layer();
    const auto x = moe::testing::random_matrix<float>(6, 5, 1);
    moe::cpu b;
    const moe::matrix<float> wanted = layer(b, x);

    const row_major input = eigen_copy(x);
    row_major output = row_major::Zero(6, 5);
    layer(b, input, output);
    CHECK(equal(output, wanted));

    std::vector<float> memory(30, 7.0f);
    layer(b, Eigen::Map<const row_major>(x.data(), 6, 5), Eigen::Map<row_major>(memory.data(), 6, 5));
    CHECK(equal(Eigen::Map<row_major>(memory.data(), 6, 5), wanted));

    output.setZero();
    layer(b, Eigen::Ref<const row_major>(input), Eigen::Ref<row_major>(output));
    CHECK(equal(output, wanted));

    row_major wide_input = row_major::Constant(8, 11, 9.0f);
    row_major wide_output = row_major::Constant(8, 11, 9.0f);
    wide_input.block(1, 3, 6, 5) = input;
    layer(b, wide_input.block(1, 3, 6, 5), wide_output.block(1, 3, 6, 5));
    CHECK(equal(wide_output.block(1, 3, 6, 5), wanted));
    wide_output.block(1, 3, 6, 5).setConstant(9.0f);
    CHECK(wide_output == row_major::Constant(8, 11, 9.0f));
}

TEST_CASE("a layer reads and writes vectors, spans and pointers in place") {
    const auto layer = small_layer();
    const auto x = moe::testing::random_matrix<float>(6, 5, 1);
    moe::cpu b;
    const moe::matrix<float> wanted = layer(b, x);
    const std::vector<float> input(x.data(), x.data() + 30);
    std::vector<float> output(30);
    layer(b, input, output);
    CHECK(std::equal(output.begin(), output.end(), wanted.data()));
    std::fill(output.begin(), output.end(), 0.0f);
    layer(b, std::span<const float>(input), std::span<float>(output));
    CHECK(std::equal(output.begin(), output.end(), wanted.data()));
    std::fill(output.begin(), output.end(), 0.0f);
    layer(b, moe::view_of(input.data(), 6, 5), moe::view_of(output.data(), 6, 5));
    CHECK(std::equal(output.begin(), output.end(), wanted.data()));
    CHECK_THROWS_WITH(layer(b, std::vector<float>(31), output), "moe: x: wanted a multiple of 5 elements, got 31");
}

TEST_CASE("an Eigen object of the wrong width or with a run-time inner stride is refused by name") {
    const auto layer = small_layer();
    moe::cpu b;
    row_major x = row_major::Zero(6, 4);
    row_major y = row_major::Zero(6, 5);
    CHECK_THROWS_WITH(layer(b, x, y), "moe: x: wanted [6, 5], got [6, 4]");
    std::vector<float> memory(60);
    using strided = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    Eigen::Map<row_major, 0, strided> every_other(memory.data(), 6, 5, strided(10, 2));
    CHECK_THROWS_AS(layer(b, every_other, y), moe::shape_error);
}

TEST_CASE("input and output that overlap are refused") {
    const auto layer = small_layer();
    moe::cpu b;
    row_major x = row_major::Zero(6, 5);
    CHECK_THROWS_WITH(layer(b, x, x), "moe: x and y: wanted memory that does not overlap, got overlapping memory");
}
