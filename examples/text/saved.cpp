// SPDX-License-Identifier: Apache-2.0
#include "saved.hpp"

#include "support/saved.hpp"

namespace text {

namespace {

// Options as numbers: router, experts, k, hidden, the two halves of the seed; for every byte whether it is known.
struct settings {
    std::array<double, 6> values{};
    std::array<double, 256> known{};

    template <class V, class... P>
    static void parameters(V&& v, P&... p) {
        v("settings", p.values...);
        v("known", p.known...);
    }
};

settings settings_of(const options& o, const vocabulary& known) {
    settings s{
        {static_cast<double>(o.router), static_cast<double>(o.experts), static_cast<double>(o.k),
         static_cast<double>(o.hidden), static_cast<double>(o.seed >> 32), static_cast<double>(o.seed & 0xFFFFFFFFu)},
        {}};
    for (int c = 0; c < known.unknown(); ++c) s.known[static_cast<unsigned char>(known.character(c))] = 1;
    return s;
}

options options_of(const std::string& file, const settings& s) {
    const auto damaged = [&](const char* what) { throw usage_error("--load: " + file + ": its " + what); };
    const auto whole = [&](std::size_t i) { return static_cast<std::uint64_t>(s.values[i]); };
    for (const double v : s.values) {
        if (!(v >= 0 && v < 4294967296.0)) damaged("settings are damaged");
    }
    if (whole(0) > static_cast<std::uint64_t>(router_kind::threshold)) damaged("router is unknown");
    return example::options_from_file<options>(
        file,
        {std::string("--router=") + name_of(static_cast<router_kind>(whole(0))),
         "--experts=" + std::to_string(whole(1)), "--k=" + std::to_string(whole(2)),
         "--hidden=" + std::to_string(whole(3)), "--seed=" + std::to_string(whole(4) << 32 | whole(5))},
        read_command_line);
}

vocabulary vocabulary_of(const settings& s) {
    std::string characters;
    for (std::size_t byte = 0; byte < s.known.size(); ++byte) {
        if (s.known[byte] != 0) characters += static_cast<char>(byte);
    }
    return vocabulary(characters);
}

}  // namespace

void save_reader(const options& chosen, reader& r) {
    settings s = settings_of(chosen, r.known);
    example::save_model(chosen.save, s, r.predict);
}

reader load_reader(options& chosen) {
    settings s;
    model m = example::load_model(chosen.load, s, [&] {
        adopt(chosen, options_of(chosen.load, s));
        return make_model(chosen, vocabulary_of(s).classes());
    });
    return {vocabulary_of(s), std::move(m)};
}

}  // namespace text
