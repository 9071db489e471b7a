// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "service.hpp"

namespace digits {

namespace {

// Pixels. Rows become lower when there are many experts, and lose their numbers below `readable`.
constexpr double left = 92, top = 112, cell_width = 52, bar_left = left + classes * cell_width + 26, bar_width = 150;
constexpr double legend_height = 70, readable = 15;

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else
            out += c;
    }
    return out;
}

// From nearly white to dark blue.
std::string colour(double share) {
    constexpr double from[] = {244, 247, 251}, middle[] = {74, 144, 200}, to[] = {8, 40, 92};
    std::ostringstream out;
    out << "rgb(";
    for (std::size_t i = 0; i < 3; ++i) {
        const double value = share < 0.5 ? from[i] + (middle[i] - from[i]) * share * 2
                                         : middle[i] + (to[i] - middle[i]) * (share - 0.5) * 2;
        out << (i == 0 ? "" : ",") << std::lround(value);
    }
    out << ')';
    return out.str();
}

class drawing {
public:
    drawing(double width, double height) {
        out_ << std::fixed << std::setprecision(1);
        out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << height
             << "\" viewBox=\"0 0 " << width << ' ' << height
             << "\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n";
        box(0, 0, width, height, "white");
    }

    void box(double x, double y, double width, double height, const std::string& fill, const std::string& more = "") {
        out_ << "<rect x=\"" << x << "\" y=\"" << y << "\" width=\"" << width << "\" height=\"" << height
             << "\" fill=\"" << fill << '"' << (more.empty() ? "" : " ") << more << "/>\n";
    }

    // A vertical line.
    void dashed(double x, double from, double to) {
        out_ << "<path d=\"M" << x << ' ' << from << 'V' << to << "\" stroke=\"#444\" stroke-dasharray=\"4 3\"/>\n";
    }

    void text(double x, double y, double size, const std::string& words, const std::string& anchor = "middle",
              const std::string& more = "fill=\"#222\"") {
        out_ << "<text x=\"" << x << "\" y=\"" << y << "\" font-size=\"" << size << "\" text-anchor=\"" << anchor
             << "\" " << more << '>' << escaped(words) << "</text>\n";
    }

    std::string finish() {
        out_ << "</svg>\n";
        return out_.str();
    }

private:
    std::ostringstream out_;
};

std::string number(double value, int digits_behind_the_point) {
    std::ostringstream out;
    out << std::fixed << std::setprecision(digits_behind_the_point) << value;
    return out.str();
}

void draw_cells(drawing& d, const service& who, double height) {
    for (std::size_t e = 0; e < who.reached.size(); ++e) {
        const double y = top + static_cast<double>(e) * height;
        if (height >= readable || e % 8 == 0) d.text(left - 10, y + height / 2 + 4.5, 13, std::to_string(e), "end");
        for (std::size_t c = 0; c < classes; ++c) {
            const double x = left + static_cast<double>(c) * cell_width, share = who.share(e, c);
            d.box(x, y, cell_width, height, colour(share), "stroke=\"white\" stroke-width=\"1\"");
            if (height < readable) continue;
            const std::string fill = share > 0.4 ? "fill=\"white\"" : share > 0 ? "fill=\"#222\"" : "fill=\"#9aa5b1\"";
            d.text(x + cell_width / 2, y + height / 2 + 4.5, 13, std::to_string(std::lround(100 * share)), "middle",
                   fill);
        }
    }
}

void draw_loads(drawing& d, const service& who, double height) {
    const int all = std::max(who.routes(), 1);
    int most = 1;
    for (std::size_t e = 0; e < who.reached.size(); ++e) most = std::max(most, who.load(e));
    d.text(bar_left, top - 30, 13, "share of all routes", "start", "fill=\"#222\" font-weight=\"bold\"");
    d.text(bar_left, top - 10, 12, "dashed: equal load", "start", "fill=\"#555\"");
    for (std::size_t e = 0; e < who.reached.size(); ++e) {
        const double y = top + static_cast<double>(e) * height;
        const double length = bar_width * who.load(e) / most;
        d.box(bar_left, y + height * 0.18, length, height * 0.64, "#d08a2e");
        if (height < readable) continue;
        d.text(bar_left + bar_width + 58, y + height / 2 + 4.5, 12, number(100.0 * who.load(e) / all, 1) + " %", "end");
    }
    const double equal = bar_width * all / static_cast<double>(who.reached.size()) / most;
    d.dashed(bar_left + equal, top, top + height * static_cast<double>(who.reached.size()));
}

void draw_legend(drawing& d, double y) {
    constexpr int steps = 50;
    constexpr double width = 260;
    d.text(left, y - 8, 12, "part of a digit's images that reach the expert (the numbers are per cent)", "start");
    for (int i = 0; i < steps; ++i) {
        d.box(left + i * width / steps, y, width / steps + 0.5, 14, colour((i + 0.5) / steps));
    }
    for (const int percent : {0, 25, 50, 75, 100}) {
        d.text(left + width * percent / 100, y + 29, 12, std::to_string(percent) + " %");
    }
}

}  // namespace

std::string picture(const service& who, const std::string& subtitle) {
    const double experts = static_cast<double>(who.reached.size());
    const double height = std::clamp(640 / experts, 6.0, 40.0);
    const double bottom = top + experts * height;
    drawing d(bar_left + bar_width + 70, bottom + 82 + legend_height);

    d.text(left, 30, 20, "Which expert serves which digit", "start", "fill=\"#111\" font-weight=\"bold\"");
    d.text(left, 50, 13, subtitle, "start", "fill=\"#555\"");
    d.text(left + classes * cell_width / 2, top - 30, 13, "digit", "middle", "fill=\"#222\" font-weight=\"bold\"");
    const double middle = (top + bottom) / 2;
    d.text(28, middle, 13, "expert", "middle",
           "fill=\"#222\" font-weight=\"bold\" transform=\"rotate(-90 28 " + number(middle, 1) + ")\"");
    d.text(left - 10, bottom + 30, 11, "experts", "end", "fill=\"#555\"");
    d.text(left - 10, bottom + 43, 11, "per image", "end", "fill=\"#555\"");
    for (std::size_t c = 0; c < classes; ++c) {
        const double x = left + (static_cast<double>(c) + 0.5) * cell_width;
        d.text(x, top - 9, 15, std::to_string(c));
        d.text(x, bottom + 36, 13, number(who.experts_per_image(c), 2), "middle", "fill=\"#555\"");
    }
    draw_cells(d, who, height);
    draw_loads(d, who, height);
    draw_legend(d, bottom + 82);
    return d.finish();
}

}  // namespace digits
