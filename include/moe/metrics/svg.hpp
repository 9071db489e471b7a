// metrics/svg: loads and routing maps -> pictures as SVG text
// SPDX-License-Identifier: Apache-2.0
//
//     load_svg(stats)        a bar per expert, as a multiple of the mean load; dashed: an even load; dead experts are marked
//     map_svg(values, look)  a cell per entry of a matrix: experts x labels, experts x experts of the next layer, ...
//
// Colours run from white (0) to dark blue (the largest entry; `normalise` says of what). NaN cells are grey. Texts are
// escaped. Numbers do not depend on the locale. One picture of a given input is always the same text.
// errors        label lists that have not one entry per row or column; an empty matrix
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "moe/metrics/load.hpp"

MOE_BEGIN

enum class map_scale { matrix, row, column };  // the largest entry of what is darkest

struct map_look {
    std::string title = {};
    std::string rows = "expert";         // what the rows are
    std::string columns = {};            // what the columns are
    std::vector<std::string> row_names = {};     // empty: numbers
    std::vector<std::string> column_names = {};  // empty: numbers
    map_scale normalise = map_scale::matrix;
    bool percent = false;                // write each entry as a percentage into its cell
};

namespace detail {

class svg_drawing {
public:
    svg_drawing(double width, double height) {
        out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width) + "\" height=\"" + number(height) +
               "\" viewBox=\"0 0 " + number(width) + " " + number(height) + "\" font-family=\"sans-serif\">\n";
        box(0, 0, width, height, "#ffffff");
    }

    static std::string number(double v, int digits = 1) {
        if (!(std::abs(v) < 1e15)) return "0";
        char buffer[64];
        return {buffer, std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed, digits).ptr};
    }

    void box(double x, double y, double width, double height, const std::string& fill) {
        out_ += "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) + "\" height=\"" +
                number(height) + "\" fill=\"" + fill + "\"/>\n";
    }
    void dashed(double x, double y, double x2, double y2) {
        out_ += "<path d=\"M" + number(x) + " " + number(y) + "L" + number(x2) + " " + number(y2) +
                "\" stroke=\"#333333\" stroke-dasharray=\"5 4\"/>\n";
    }
    void line(double x, double y, double x2, double y2, const std::string& colour, double width = 1) {
        out_ += "<path d=\"M" + number(x) + " " + number(y) + "L" + number(x2) + " " + number(y2) + "\" stroke=\"" +
                colour + "\" stroke-width=\"" + number(width) + "\"/>\n";
    }
    void text(double x, double y, const std::string& words, const char* anchor = "middle", double size = 12,
              const char* fill = "#222222") {
        out_ += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" font-size=\"" + number(size) +
                "\" text-anchor=\"" + anchor + "\" fill=\"" + fill + "\">" + escaped(words) + "</text>\n";
    }
    std::string finish() { return out_ + "</svg>\n"; }

private:
    static std::string escaped(const std::string& words) {
        std::string out;
        for (const char c : words) {
            if (c == '&') out += "&amp;";
            else if (c == '<') out += "&lt;";
            else if (c == '>') out += "&gt;";
            else out += c;
        }
        return out;
    }

    std::string out_;
};

// 0 is white, 1 dark blue, NaN grey.
inline std::string shade(double share) {
    if (share != share) return "#cccccc";
    const double u = std::min(1.0, std::max(0.0, share));
    constexpr double from[] = {255, 255, 255}, middle[] = {90, 155, 212}, to[] = {8, 42, 94};
    std::string out = "#";
    for (std::size_t i = 0; i < 3; ++i) {
        const double v = u < 0.5 ? from[i] + (middle[i] - from[i]) * 2 * u : middle[i] + (to[i] - middle[i]) * (2 * u - 1);
        const int level = static_cast<int>(v + 0.5);
        out += "0123456789abcdef"[level / 16];
        out += "0123456789abcdef"[level % 16];
    }
    return out;
}

// Every how many rows a label of 12 pixels fits.
inline index_t label_step(double pixels) { return pixels >= 13 ? 1 : static_cast<index_t>(std::ceil(13 / pixels)); }

inline double widest(const std::vector<std::string>& names, index_t count) {
    std::size_t letters = std::to_string(count).size();
    for (const std::string& n : names) letters = std::max(letters, n.size());
    return 7.5 * static_cast<double>(letters);
}

}  // namespace detail

inline std::string load_svg(const load_stats& stats, const std::string& title = "load per expert") {
    const index_t n = stats.experts();
    const double row = std::clamp(480.0 / n, 4.0, 22.0);
    const double left = 40 + detail::widest({}, n), top = 76, wide = 420, mean = wide / std::max(2.0, stats.max_over_mean());
    const double bottom = top + row * n;
    detail::svg_drawing d(left + wide + 120, bottom + 34);
    d.text(20, 26, title, "start", 16);
    d.text(20, 48, "max/mean " + d.number(stats.max_over_mean(), 2) + ", cv " + d.number(stats.cv(), 2) + ", dead " +
                       std::to_string(stats.dead()) + " of " + std::to_string(n) + ", dropped " +
                       d.number(100.0 * stats.dropped_share()) + " %",
           "start", 12, "#555555");
    const double even = stats.routes() > 0.0 ? n / stats.routes() : 0.0;
    for (index_t e = 0; e < n; ++e) {
        const double y = top + row * e, count = stats.count()[static_cast<std::size_t>(e)];
        d.box(left, y + 0.12 * row, mean * count * even, 0.76 * row, "#d08a2e");
        if (count == 0.0) d.box(left, y + 0.12 * row, 3, 0.76 * row, "#c0392b");
        if (e % detail::label_step(row) != 0) continue;
        d.text(left - 8, y + row / 2 + 4, std::to_string(e), "end");
        if (row >= 13) d.text(left + wide + 70, y + row / 2 + 4, d.number(count, 0), "end", 11);
    }
    d.dashed(left + mean, top - 6, left + mean, bottom + 4);
    d.text(left + mean, top - 10, "even load", "middle", 11, "#555555");
    d.text(left, bottom + 22, "routes per expert", "start", 11, "#555555");
    return d.finish();
}

inline std::string map_svg(matrix_view<const double> values, const map_look& look = {}) {
    if (values.empty()) throw_shape("map_svg: values", "at least [1, 1]", detail::shape_text(values));
    const auto names = [](const char* which, const std::vector<std::string>& list, index_t count) {
        if (!list.empty() && list.size() != static_cast<std::size_t>(count)) {
            throw_shape(std::string("map_svg: ") + which, std::to_string(count), std::to_string(list.size()));
        }
        return [&list](index_t i) { return list.empty() ? std::to_string(i) : list[static_cast<std::size_t>(i)]; };
    };
    const auto row_name = names("row_names", look.row_names, values.rows);
    const auto column_name = names("column_names", look.column_names, values.cols);
    const double needed = look.percent ? 30.0 : detail::widest(look.column_names, values.cols) + 4;
    const double wide = std::clamp(640.0 / values.cols, 4.0, std::max(needed, 26.0));
    const double high = std::clamp(520.0 / values.rows, 4.0, 24.0);
    const double left = 44 + detail::widest(look.row_names, values.rows), top = 84;
    const double right = left + wide * values.cols, bottom = top + high * values.rows;
    detail::svg_drawing d(std::max(right + 30, 300.0), bottom + 24);
    d.text(20, 26, look.title, "start", 16);
    d.text(left - 8, top - 8, look.rows, "end", 11, "#555555");
    d.text((left + right) / 2, top - 28, look.columns, "middle", 12, "#555555");

    const auto largest = [&](index_t i, index_t j) {
        double most = 0.0;
        const bool one_row = look.normalise == map_scale::row, one_column = look.normalise == map_scale::column;
        for (index_t r = one_row ? i : 0; r < (one_row ? i + 1 : values.rows); ++r) {
            for (index_t c = one_column ? j : 0; c < (one_column ? j + 1 : values.cols); ++c) {
                most = std::max(most, values(r, c));
            }
        }
        return most;
    };
    const double whole = look.normalise == map_scale::matrix ? largest(0, 0) : 0.0;
    std::vector<double> by_row(static_cast<std::size_t>(values.rows), whole);
    for (index_t i = 0; look.normalise == map_scale::row && i < values.rows; ++i) by_row[std::size_t(i)] = largest(i, 0);
    std::vector<double> by_column(static_cast<std::size_t>(values.cols), whole);
    for (index_t j = 0; look.normalise == map_scale::column && j < values.cols; ++j) {
        by_column[std::size_t(j)] = largest(0, j);
    }
    for (index_t i = 0; i < values.rows; ++i) {
        const double y = top + high * i;
        if (i % detail::label_step(high) == 0) d.text(left - 8, y + high / 2 + 4, row_name(i), "end");
        for (index_t j = 0; j < values.cols; ++j) {
            const double most = look.normalise == map_scale::column ? by_column[std::size_t(j)] : by_row[std::size_t(i)];
            const double v = values(i, j), share = v != v ? v : (most > 0.0 ? v / most : 0.0);
            d.box(left + wide * j, y, wide - 1, high - 1, detail::shade(share));
            if (!look.percent || wide < 26 || high < 13 || v != v) continue;
            d.text(left + wide * (j + 0.5), y + high / 2 + 4, d.number(100.0 * v, 0), "middle", 11,
                   share > 0.45 ? "#ffffff" : "#333333");
        }
    }
    const double letters = detail::widest(look.column_names, values.cols);
    const index_t step = wide >= letters ? 1 : static_cast<index_t>(std::ceil(letters / wide));
    for (index_t j = 0; j < values.cols; j += step) d.text(left + wide * (j + 0.5), top - 8, column_name(j), "middle", 11);
    return d.finish();
}

MOE_END
