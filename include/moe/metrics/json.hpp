// metrics/json: numbers, texts, arrays and objects -> JSON text, and the statistics of a load as JSON
// SPDX-License-Identifier: Apache-2.0
//
//     moe::json_writer w;
//     w.begin_object();
//     w.member("accuracy", 0.97);
//     w.member("load", stats.count());
//     w.key("layers"); w.begin_array(); ... w.end_array();
//     w.end_object();
//     w.text()
//
// Numbers have as few digits as read back to the same double, whatever the locale; NaN and infinities, which JSON has not, become null.
// Texts are escaped, bytes from 0x80 on pass through (UTF-8). Writes only; reading checkpoints' headers is io's business.
// errors        value_error where the calls do not make one well-formed value
#pragma once

#include <charconv>
#include <cstdio>
#include <string_view>
#include <vector>

#include "moe/metrics/load.hpp"

MOE_BEGIN

class json_writer {
public:
    void begin_object() { open('{'); }
    void end_object() { close('{', '}'); }
    void begin_array() { open('['); }
    void end_array() { close('[', ']'); }

    void key(std::string_view name) {
        if (open_.empty() || open_.back() != '{' || after_key_) misuse("key", "directly inside an object");
        separate();
        write_text(name);
        out_ += ": ";
        after_key_ = true;
    }

    void value(double v) {
        before_value();
        if (!(v - v == 0.0)) {
            out_ += "null";
            return;
        }
        char digits[40];
        out_.append(digits, std::to_chars(digits, digits + sizeof digits, v).ptr);
    }
    template <class T>
        requires std::is_integral_v<T>
    void value(T v) {
        before_value();
        if constexpr (std::is_same_v<T, bool>) out_ += v ? "true" : "false";
        else out_ += std::to_string(v);
    }
    void value(std::string_view v) {
        before_value();
        write_text(v);
    }
    void value(const char* v) { value(std::string_view(v)); }
    void value(std::span<const double> values) {
        begin_array();
        for (const double v : values) value(v);
        end_array();
    }

    template <class V>
    void member(std::string_view name, const V& v) {
        key(name);
        value(v);
    }

    // The finished value.
    const std::string& text() const {
        if (!open_.empty() || out_.empty()) misuse("text", "after one complete value");
        return out_;
    }

private:
    [[noreturn]] static void misuse(const char* call, const char* where) {
        throw_value(std::string("json_writer.") + call, where, "another place");
    }

    void open(char bracket) {
        before_value();
        out_ += bracket;
        open_.push_back(bracket);
        first_ = true;
    }
    void close(char bracket, char end) {
        if (open_.empty() || open_.back() != bracket || after_key_) misuse("end", "the end of what was begun last");
        open_.pop_back();
        out_ += end;
        first_ = false;
    }
    void before_value() {
        if (after_key_) {
            after_key_ = false;
        } else if (open_.empty() ? !out_.empty() : open_.back() == '{') {
            misuse("value", "behind a key, inside an array, or once at the top");
        } else if (!open_.empty()) {
            separate();
        }
    }
    void separate() {
        if (!first_) out_ += ", ";
        first_ = false;
    }

    void write_text(std::string_view text) {
        out_ += '"';
        for (const char c : text) {
            const unsigned char byte = static_cast<unsigned char>(c);
            if (c == '"' || c == '\\') {
                out_ += '\\';
                out_ += c;
            } else if (byte < 0x20) {
                char escape[8];
                std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(byte));
                out_ += escape;
            } else {
                out_ += c;
            }
        }
        out_ += '"';
    }

    std::string out_;
    std::vector<char> open_;
    bool first_ = true;
    bool after_key_ = false;
};

// An object with every statistic of a load.
inline void write_json(json_writer& w, const load_stats& s) {
    w.begin_object();
    w.member("experts", s.experts());
    w.member("tokens", s.tokens());
    w.member("routes", s.routes());
    w.member("dropped", s.dropped());
    w.member("dead", s.dead());
    w.member("max_over_mean", s.max_over_mean());
    w.member("max_violation", s.max_violation());
    w.member("min_violation", s.min_violation());
    w.member("cv", s.cv());
    w.member("entropy", s.entropy());
    w.member("experts_per_token", s.experts_per_token());
    w.member("count", s.count());
    w.member("mass", s.mass());
    w.end_object();
}

MOE_END
