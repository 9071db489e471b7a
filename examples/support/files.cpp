// SPDX-License-Identifier: Apache-2.0
#include "files.hpp"

#include <algorithm>
#include <fstream>

#include "command_line.hpp"

namespace example {

std::string read_file(const std::string& option, const std::string& file, std::size_t most) {
    constexpr std::size_t piece = std::size_t{1} << 16;
    std::ifstream in(file, std::ios::binary);
    if (!in) throw usage_error(option + ": " + file + " cannot be read");
    std::string content;
    // Piece by piece: a pipe or a device has no size to ask for.
    for (std::size_t got = piece; got == piece && content.size() <= most;) {
        const std::size_t before = content.size();
        content.resize(before + piece);
        in.read(content.data() + before, static_cast<std::streamsize>(piece));
        got = static_cast<std::size_t>(in.gcount());
        content.resize(before + got);
    }
    if (in.bad()) throw usage_error(option + ": " + file + " cannot be read");
    if (content.size() > most) {
        throw usage_error(option + ": " + file + ": wanted at most " + std::to_string(most) + " bytes, got more");
    }
    return content;
}

void check_writable(const std::string& option, const std::string& file) {
    if (!std::ofstream(file, std::ios::app)) throw usage_error(option + ": " + file + " cannot be written");
}

void write_file(const std::string& option, const std::string& file, const std::string& content) {
    std::ofstream out(file, std::ios::binary);
    out << content;
    out.close();
    if (!out) throw usage_error(option + ": " + file + " cannot be written");
}

}  // namespace example
