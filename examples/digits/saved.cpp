// SPDX-License-Identifier: Apache-2.0
#include "saved.hpp"

#include <array>

#include "support/saved.hpp"

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

options options_of(const std::string& file, const settings& s) {
    const auto damaged = [&](const char* what) { throw usage_error("--load: " + file + ": its " + what); };
    const auto whole = [&](std::size_t i) { return static_cast<std::uint64_t>(s.values[i]); };
    for (const double v : s.values) {
        if (!(v >= 0 && v < 4294967296.0)) damaged("settings are damaged");
    }
    if (whole(0) > static_cast<std::uint64_t>(router_kind::sigmoid_bias)) damaged("router is unknown");
    return example::options_from_file<options>(
        file,
        {std::string("--router=") + name_of(static_cast<router_kind>(whole(0))),
         "--experts=" + std::to_string(whole(1)), "--k=" + std::to_string(whole(2)),
         "--hidden=" + std::to_string(whole(3)), "--shared=" + std::to_string(whole(4)),
         "--seed=" + std::to_string(whole(5) << 32 | whole(6))},
        read_command_line);
}

}  // namespace

both_models make_models(const options& chosen) { return {make_mixture(chosen), make_dense(chosen)}; }

void save_models(const options& chosen, both_models& models) {
    settings s = settings_of(chosen);
    example::save_model(chosen.save, s, models);
}

both_models load_models(options& chosen) {
    settings s;
    return example::load_model(chosen.load, s, [&] {
        adopt(chosen, options_of(chosen.load, s));
        return make_models(chosen);
    });
}

}  // namespace digits
