#include "moe/select/table.hpp"

#include "select/hand.hpp"

namespace {

moe::matrix<moe::index_t> table() { return rows_of<moe::index_t>({{0, 3}, {2, 1}, {-1, 4}, {4, 0}, {1, 2}}); }

}  // namespace

TEST_CASE("a table gives every token the experts of its id, whatever its keys") {
    const ids token_id = {4, 0, 2, 0};
    moe::batch<double> in;
    in.token_id = token_id;
    const double inf = std::numeric_limits<double>::infinity();
    const std::vector<std::vector<double>> keys = {{0, 0, 0, 0, 0}, {9, 1, 2, 3, 4}, {5, 4, 3, 2, 1}, {1, 1, 1, -inf, 1}};
    CHECK(chosen_by(moe::token_table{table()}, keys, in).expert == ids{1, 2, 0, 3, -1, 4, 0, -1});
    in.token_id = {};
    in.label = token_id;
    CHECK(chosen_by(moe::label_table{table()}, keys, in).expert == ids{1, 2, 0, 3, -1, 4, 0, -1});
}

TEST_CASE("a table reads no id of a masked token") {
    const ids token_id = {99, 1};
    const std::uint8_t mask[2] = {0, 1};
    moe::batch<double> in;
    in.token_id = token_id;
    in.mask = mask;
    CHECK(chosen_by(moe::token_table{table()}, {{0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}}, in).expert == ids{-1, -1, 2, 1});
}

TEST_CASE("a table names the entry or the token that is wrong") {
    const moe::batch<float> in;
    const auto with = [](moe::index_t e) { return moe::token_table{rows_of<moe::index_t>({{0, 1}, {2, e}})}; };
    CHECK_THROWS_WITH(with(4).check(in, 4, 4), "moe: token_table.experts_of(1, 1): wanted -1 to 3, got 4");
    CHECK_THROWS_WITH(with(2).check(in, 4, 4),
                      "moe: token_table.experts_of(1, 1): wanted an expert the row has not got yet, got 2");
    CHECK_THROWS_AS(with(-2).check(in, 4, 4), moe::value_error);
    CHECK_THROWS_AS(with(1).check(in, 1, 1), moe::shape_error);
    const moe::matrix<float> x(2, 3);
    const ids label = {1, 2};
    moe::batch<float> call;
    call.x = x;
    call.label = label;
    CHECK_THROWS_WITH((moe::label_table{rows_of<moe::index_t>({{0}, {1}})}.check(call, 4, 4)),
                      "moe: label_table: id of token 1: wanted 0 to 1, got 2");
}
