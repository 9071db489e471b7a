// io: JSON that somebody else wrote -> a document, or an error that names the file
// SPDX-License-Identifier: Apache-2.0
//
// The parser is nlohmann/json. On top of it: no more than json_depth arrays and objects inside one another, no key
// twice in one object (which parsers are free to resolve either way), and one kind of exception.
//
// errors        io_error naming the file: not JSON, not UTF-8, bytes behind the document, too deep, a key twice
#pragma once

#include <set>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "moe/io/mapped_file.hpp"

MOE_BEGIN

using json_value = nlohmann::json;

inline constexpr int json_depth = 64;

namespace detail {

// What a file says, fit for an error: in quotes, short, without control characters.
inline std::string excerpt(std::string_view text) {
    constexpr std::size_t longest = 120;
    std::string out = "'";
    for (const char c : text.substr(0, longest)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    return out + (text.size() > longest ? "...'" : "'");
}

// Refuses what the parser would let pass: a reader of its events, so that a document costs time in its length. (A callback
// of the parser would not do: behind every object it looks at all members of the object around it.)
class json_guard {
public:
    explicit json_guard(const std::string& path) : path_(path) {}

    bool start_object(std::size_t) { return open(); }
    bool start_array(std::size_t) { return open(); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool key(std::string& name) {
        if (keys_.back().insert(name).second) return true;
        throw io_error(wanted_got(path_ + ": JSON", "every key once in its object", excerpt(name) + " twice"));
    }
    bool null() { return true; }
    bool boolean(bool) { return true; }
    bool number_integer(json_value::number_integer_t) { return true; }
    bool number_unsigned(json_value::number_unsigned_t) { return true; }
    bool number_float(json_value::number_float_t, const std::string&) { return true; }
    bool string(std::string&) { return true; }
    bool binary(json_value::binary_t&) { return true; }
    bool parse_error(std::size_t, const std::string&, const json_value::exception& e) {
        throw io_error(wanted_got(path_, "JSON", excerpt(e.what())));
    }

private:
    bool open() {
        if (keys_.size() == std::size_t(json_depth)) {
            throw io_error(wanted_got(path_ + ": JSON", std::string("at most ") + std::to_string(json_depth) +
                                      " arrays and objects inside one another", "more"));
        }
        keys_.emplace_back();
        return true;
    }
    bool close() {
        keys_.pop_back();
        return true;
    }

    const std::string& path_;
    std::vector<std::set<std::string>> keys_;
};

}  // namespace detail

// `path` is only named in errors.
inline json_value parse_json(std::string_view text, const std::string& path) {
    detail::json_guard guard(path);
    json_value::sax_parse(text.begin(), text.end(), &guard);
    return json_value::parse(text.begin(), text.end());
}

inline json_value read_json(const std::string& path) {
    const mapped_file file(path);
    const auto bytes = file.bytes();
    return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

MOE_END
