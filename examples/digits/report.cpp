// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fstream>
#include <iomanip>
#include <sstream>

#include "options.hpp"

namespace digits {

std::string hash_text(std::uint64_t hash) {
    std::ostringstream out;
    out << std::hex << std::setfill('0') << std::setw(16) << hash;
    return out.str();
}

std::string json_text(const results& r) {
    std::ostringstream out;
    out << std::setprecision(10) << "{\n"
        << "  \"accuracy\": " << r.accuracy << ",\n"
        << "  \"dense_accuracy\": " << r.dense_accuracy << ",\n"
        << "  \"load\": [";
    for (std::size_t e = 0; e < r.load.size(); ++e) out << (e == 0 ? "" : ", ") << r.load[e];
    out << "],\n"
        << "  \"loss\": " << r.loss << ",\n"
        << "  \"seconds\": " << r.seconds << ",\n"
        << "  \"tokens_per_s\": " << r.tokens_per_s << ",\n"
        << "  \"weights_hash\": \"" << hash_text(r.weights_hash) << "\"\n"
        << "}\n";
    return out.str();
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

}  // namespace digits
