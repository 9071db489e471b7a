// examples/support/command_line: words -> a struct of options, or one sentence about what is wrong with them
// SPDX-License-Identifier: Apache-2.0
//
// Every option takes one value, written `--name value` or `--name=value`; the last one wins. A value is read whole, so
// `--k 2x` is as wrong as `--k two`. `Options` has the members `bool help` and `std::set<std::string> given`.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>

namespace example {

// Wrong options, or a file that cannot be used: one line on stderr, exit status 2.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void refuse(const std::string& name, const std::string& wanted, const std::string& got);

template <class T>
T integer(const std::string& name, const std::string& text, T least, T most) {
    T value{};
    const char* const end = text.data() + text.size();
    const auto [stop, fault] = std::from_chars(text.data(), end, value);
    if (fault != std::errc() || stop != end || value < least || value > most) {
        refuse(name, "a whole number from " + std::to_string(least) + " to " + std::to_string(most), text);
    }
    return value;
}

// From 0 to `most`.
double real(const std::string& name, const std::string& text, double most);

std::string file_name(const std::string& name, const std::string& text);

template <class Options>
struct option {
    const char* name;
    const char* value;
    const char* help;
    void (*read)(Options& o, const std::string& name, const std::string& text);
};

// Throws usage_error. Stops at --help.
template <class Options>
Options read_words(std::span<const option<Options>> table, int argc, const char* const* argv) {
    Options o;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--help") {
            o.help = true;
            return o;
        }
        if (word.rfind("--", 0) != 0) throw usage_error("wanted an option, got '" + word + "'; --help lists them");
        const auto equals = word.find('=');
        const bool joined = equals != std::string::npos;
        const std::string name = joined ? word.substr(2, equals - 2) : word.substr(2);
        const auto found =
            std::find_if(table.begin(), table.end(), [&](const auto& entry) { return name == entry.name; });
        if (found == table.end()) throw usage_error("--" + name + ": no such option; --help lists them");
        if (!joined && ++i == argc) throw usage_error(word + ": wanted a value behind it, got nothing");
        found->read(o, found->name, joined ? word.substr(equals + 1) : argv[i]);
        o.given.insert(found->name);
    }
    return o;
}

// A line per option and one for --help; the descriptions stand in one column.
template <class Options>
std::string option_lines(std::span<const option<Options>> table) {
    const auto left = [](const option<Options>& o) { return std::string("  --") + o.name + ' ' + o.value; };
    std::size_t width = 0;
    for (const auto& o : table) width = std::max(width, left(o).size() + 2);
    std::string out;
    for (const auto& o : table) out += left(o) + std::string(width - left(o).size(), ' ') + o.help + '\n';
    return out + "  --help" + std::string(width - 8, ' ') + "this text\n";
}

// What a saved model settles, the command line may repeat but not change.
void require_as_saved(const std::set<std::string>& given, const std::string& file, const std::string& name,
                      const std::string& saved, const std::string& chosen);

// Runs `body`; what it throws becomes one line on stderr. Returns the exit status: 0 done, 1 failed, 2 wrong options or
// a file that cannot be used.
int exit_status(const char* program, const std::function<void()>& body);

}  // namespace example
