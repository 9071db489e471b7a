#include "moe/metrics/text_table.hpp"

#include <limits>

#include "support/catch.hpp"

TEST_CASE("a text table aligns numbers right, text left and rounds to the column's digits") {
    moe::text_table t{{{.title = "expert"}, {.title = "load", .unit = "%", .digits = 1}, {.title = "share", .left = true}}};
    t.row({0, 62.449, moe::bar{0.5, 8}});
    t.row({11, 7.0, moe::bar{1.5, 8}});
    t.row({"all"});
    CHECK(t.text() ==
          "expert  load [%]  share\n"
          "     0      62.4  ####\n"
          "    11       7.0  ########\n"
          "   all\n");
}

TEST_CASE("a text table counts letters, not bytes") {
    moe::text_table t{{{.title = "µs"}, {.title = "x"}}};
    t.row({"é", 1});
    CHECK(t.text() == "µs  x\n é  1\n");
}

TEST_CASE("a text table survives NaN, huge numbers and negative bars") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    moe::text_table t{{{.title = "v", .digits = 0}, {.title = "b", .left = true}}};
    t.row({nan, moe::bar{nan}});
    t.row({-1e300, moe::bar{-1.0}});
    const std::string text = t.text();
    CHECK(text.find("nan\n") != std::string::npos);
    CHECK(text.find("\n-1000000000000000052504760255204420") != std::string::npos);
    CHECK(text.find("-1e") == std::string::npos);
}

TEST_CASE("a text table refuses a row with too many cells") {
    moe::text_table t{{{.title = "a"}}};
    CHECK_THROWS_WITH(t.row({1, 2}), "moe: text_table: row: wanted at most 1 cells, got 2");
}
