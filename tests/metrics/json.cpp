#include "moe/metrics/json.hpp"

#include <limits>

#include "metrics/routes.hpp"

TEST_CASE("json is written with separators, escapes and numbers that read back") {
    moe::json_writer w;
    w.begin_object();
    w.member("text", "a\"b\\c\n\xC3\xA9");
    w.member("tenth", 0.1);
    w.member("whole", 3.0);
    w.member("third", 1.0 / 3);
    w.member("int", 7);
    w.member("yes", true);
    w.member("nan", std::numeric_limits<double>::quiet_NaN());
    w.member("inf", -std::numeric_limits<double>::infinity());
    w.key("list");
    w.begin_array();
    w.begin_array();
    w.end_array();
    w.begin_object();
    w.end_object();
    w.value(1e300);
    w.end_array();
    w.end_object();
    CHECK(w.text() ==
          "{\"text\": \"a\\\"b\\\\c\\u000a\xC3\xA9\", \"tenth\": 0.1, \"whole\": 3, \"third\": 0.3333333333333333, "
          "\"int\": 7, \"yes\": true, \"nan\": null, \"inf\": null, \"list\": [[], {}, 1e+300]}");
}

TEST_CASE("json calls that make no well-formed value are refused") {
    moe::json_writer w;
    CHECK_THROWS_AS(w.text(), moe::value_error);
    CHECK_THROWS_AS(w.key("a"), moe::value_error);
    w.begin_object();
    CHECK_THROWS_AS(w.value(1.0), moe::value_error);
    CHECK_THROWS_AS(w.end_array(), moe::value_error);
    w.key("a");
    CHECK_THROWS_AS(w.key("b"), moe::value_error);
    CHECK_THROWS_AS(w.end_object(), moe::value_error);
    w.value(1);
    CHECK_THROWS_AS(w.text(), moe::value_error);
    w.end_object();
    CHECK(w.text() == "{\"a\": 1}");
    CHECK_THROWS_WITH(w.value(2), "moe: json_writer.value: wanted behind a key, inside an array, or once at the top, "
                                  "got another place");
}

TEST_CASE("the statistics of a load are one json object") {
    const hand_made::routes r({0, 1, 0, -1}, 2, 3, {.5, .25, 1, 0});
    const moe::load_stats stats(r.plan, r.routing);
    moe::json_writer w;
    moe::write_json(w, stats);
    CHECK(w.text().find("\"dropped\": 1, \"dead\": 1, \"max_over_mean\": 2,") != std::string::npos);
    CHECK(w.text().find("\"count\": [2, 1, 0], \"mass\": [1.5, 0.25, 0]}") != std::string::npos);
}
