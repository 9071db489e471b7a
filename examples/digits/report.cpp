// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <iomanip>
#include <sstream>

#include "support/weights.hpp"

namespace digits {

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
        << "  \"weights_hash\": \"" << example::hash_text(r.weights_hash) << "\"\n"
        << "}\n";
    return out.str();
}

}  // namespace digits
