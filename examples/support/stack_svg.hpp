// examples/support/stack_svg: SVG documents of moe::map_svg and moe::load_svg -> one document, one above the other
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace example {

// `lines` stand above the pictures, the first as a title; they hold no markup. An <svg> inside an <svg> is a picture of
// its own; it only has to be told where it stands.
inline std::string stack_svg(const std::vector<std::string>& lines, const std::vector<std::string>& pictures) {
    const std::string open = "<svg ";
    const auto size = [](const std::string& picture, const std::string& attribute) {
        const auto at = picture.find(' ' + attribute + "=\"");
        return at == std::string::npos ? 0.0 : std::strtod(picture.c_str() + at + attribute.size() + 3, nullptr);
    };
    constexpr double letter = 7.5, line = 20;
    double width = 0, height = 14;
    std::ostringstream inside;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        height += line;
        inside << "<text x=\"20\" y=\"" << height << "\" font-size=\"" << (i == 0 ? 18 : 12) << "\" fill=\""
               << (i == 0 ? "#111111" : "#555555") << "\">" << lines[i] << "</text>\n";
        width = std::max(width, 40 + letter * static_cast<double>(lines[i].size()));
    }
    height += line / 2;
    for (const std::string& picture : pictures) {
        inside << open << "y=\"" << height << "\" " << picture.substr(open.size());
        width = std::max(width, size(picture, "width"));
        height += size(picture, "height");
    }
    std::ostringstream out;
    out << open << "xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << height
        << "\" viewBox=\"0 0 " << width << ' ' << height << "\" font-family=\"sans-serif\">\n"
        << "<rect width=\"" << width << "\" height=\"" << height << "\" fill=\"#ffffff\"/>\n"
        << inside.str() << "</svg>\n";
    return out.str();
}

}  // namespace example
