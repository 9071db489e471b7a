#include "moe/metrics/svg.hpp"

#include <limits>

#include "metrics/routes.hpp"

namespace {

std::size_t count_of(const std::string& text, const std::string& what) {
    std::size_t n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
}

}  // namespace

TEST_CASE("the picture of a load has a bar per expert and marks dead ones") {
    const hand_made::routes r({0, 0, 1, 3}, 1, 4);
    const std::string svg = moe::load_svg(moe::load_stats(r.plan, r.routing), "a < b & c");
    CHECK(svg.rfind("<svg xmlns=\"http://www.w3.org/2000/svg\"", 0) == 0);
    CHECK(svg.substr(svg.size() - 7) == "</svg>\n");
    CHECK(count_of(svg, "#d08a2e") == 4);
    CHECK(count_of(svg, "#c0392b") == 1);
    CHECK(svg.find("a &lt; b &amp; c") != std::string::npos);
    CHECK(svg.find("max/mean 2.00, cv 0.71, dead 1 of 4") != std::string::npos);
    // The busiest bar is twice the mean, where the dashed line stands: 420 and 210 pixels from the left edge.
    CHECK(svg.find("width=\"420.0\" height=\"16.7\" fill=\"#d08a2e\"") != std::string::npos);
    CHECK(svg.find("width=\"210.0\" height=\"16.7\" fill=\"#d08a2e\"") != std::string::npos);
}

TEST_CASE("the picture of a load without routes is still a picture") {
    const std::string svg = moe::load_svg(moe::load_stats(300));
    CHECK(count_of(svg, "#c0392b") == 300);
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
}

TEST_CASE("a map has a cell per entry, darkest where the entry is largest") {
    const auto m = hand_made::rows({{4, 0, std::numeric_limits<double>::quiet_NaN()}, {1, 2, 0}});
    const std::string whole = moe::map_svg(m.view(), {.title = "t", .columns = "digit"});
    CHECK(count_of(whole, "#082a5e") == 1);
    CHECK(count_of(whole, "#cccccc") == 1);
    CHECK(count_of(whole, "#5a9bd4") == 1);
    CHECK(count_of(moe::map_svg(m.view(), {.normalise = moe::map_scale::row}), "#082a5e") == 2);
    CHECK(count_of(moe::map_svg(m.view(), {.normalise = moe::map_scale::column}), "#082a5e") == 2);
    const std::string text = moe::map_svg(m.view(), {.row_names = {"one", "<two>"}, .percent = true});
    CHECK(text.find("&lt;two&gt;") != std::string::npos);
    CHECK(text.find(">200<") != std::string::npos);
}

TEST_CASE("a map refuses wrong label lists and nothing at all") {
    const auto m = hand_made::rows({{1, 2}});
    CHECK_THROWS_WITH(moe::map_svg(m.view(), {.row_names = {"a", "b"}}), "moe: map_svg: row_names: wanted 1, got 2");
    CHECK_THROWS_WITH(moe::map_svg(m.view(), {.column_names = {"a"}}), "moe: map_svg: column_names: wanted 2, got 1");
    CHECK_THROWS_WITH(moe::map_svg({}), "moe: map_svg: values: wanted at least [1, 1], got [0, 0]");
}
