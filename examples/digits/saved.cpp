// SPDX-License-Identifier: Apache-2.0
#include "saved.hpp"

#include <array>
#include <fstream>
#include <sstream>
#include <vector>

#include "moe/io/save.hpp"
#include "report.hpp"

namespace digits {

namespace {

// Options as numbers: router, experts, k, hidden, shared, the two halves of the seed.
struct settings {
    std::array<double, 7> values{};

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("settings", p.values...);
    }
};

settings settings_of(const options& o) {
    return {{static_cast<double>(o.router), static_cast<double>(o.experts), static_cast<double>(o.k),
             static_cast<double>(o.hidden), static_cast<double>(o.shared), static_cast<double>(o.seed >> 32),
             static_cast<double>(o.seed & 0xFFFFFFFFu)}};
}

// The words of a command line that would have set them, so that they meet the same checks.
options options_of(const settings& s) {
    const auto whole = [&](std::size_t i) { return static_cast<std::uint64_t>(s.values[i]); };
    for (const double v : s.values) {
        if (!(v >= 0 && v < 4294967296.0)) throw usage_error("its settings are damaged");
    }
    if (whole(0) > static_cast<std::uint64_t>(router_kind::sigmoid_bias)) throw usage_error("its router is unknown");
    const std::vector<std::string> words = {"digits",
                                            std::string("--router=") + name_of(static_cast<router_kind>(whole(0))),
                                            "--experts=" + std::to_string(whole(1)),
                                            "--k=" + std::to_string(whole(2)),
                                            "--hidden=" + std::to_string(whole(3)),
                                            "--shared=" + std::to_string(whole(4)),
                                            "--seed=" + std::to_string(whole(5) << 32 | whole(6))};
    std::vector<const char*> pointers;
    for (const std::string& w : words) pointers.push_back(w.c_str());
    return read_command_line(static_cast<int>(pointers.size()), pointers.data());
}

std::vector<unsigned char> bytes_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream content;
    content << in.rdbuf();  // fails for a folder, where iterators would throw
    const std::string text = content.str();
    if (!in || text.empty()) throw usage_error("--load: " + file + " cannot be read, or is empty");
    return {text.begin(), text.end()};
}

}  // namespace

both_models make_models(const options& chosen) { return {make_mixture(chosen), make_dense(chosen)}; }

void save_models(const options& chosen, both_models& models) {
    settings s = settings_of(chosen);
    std::string content;
    for (const auto& bytes : {moe::to_bytes(s), moe::to_bytes(models)}) content.append(bytes.begin(), bytes.end());
    write_file("--save", chosen.save, content);
}

both_models load_models(options& chosen) {
    const std::vector<unsigned char> bytes = bytes_of(chosen.load);
    settings s;
    const std::size_t first = moe::to_bytes(s).size();
    if (bytes.size() < first) throw usage_error("--load: " + chosen.load + " was not written by --save, or was cut");
    moe::from_bytes(std::span(bytes).first(first), s, chosen.load);
    options saved;
    try {
        saved = options_of(s);
    } catch (const usage_error& e) {
        throw usage_error("--load: " + chosen.load + ": " + e.what());
    }
    adopt(chosen, saved);
    both_models models = make_models(chosen);
    moe::from_bytes(std::span(bytes).subspan(first), models, chosen.load);
    return models;
}

}  // namespace digits
