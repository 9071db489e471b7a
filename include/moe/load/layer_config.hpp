// load/layer_config: config.json of a model -> numbers for one layer
// SPDX-License-Identifier: Apache-2.0
//
// Models of several modalities keep what concerns the layers in "text_config". A list where a number is wanted holds one
// for every layer.
// errors        io_error naming file, key, wanted and got
#pragma once

#include <initializer_list>
#include <utility>

#include "moe/io/json.hpp"

MOE_BEGIN

namespace io {

class layer_config {
public:
    layer_config(json_value whole, std::string path, index_t layer)
        : json_(std::move(whole)), path_(std::move(path)), layer_(layer) {
        if (!json_.is_object()) refuse("content", "an object", "another value");
        if (json_.contains("text_config")) json_ = json_value(json_["text_config"]);
    }

    std::string model_type() const { return text("model_type"); }
    const std::string& path() const { return path_; }

    bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

    // What is nested below a key.
    layer_config within(const char* key) const {
        if (!has(key) || !json_[key].is_object()) refuse(key, "an object", has(key) ? "another value" : "no such key");
        layer_config inner = *this;
        inner.json_ = json_value(json_[key]);
        return inner;
    }

    // The first key that is there.
    index_t integer(std::initializer_list<const char*> keys) const {
        for (const char* key : keys) {
            if (has(key)) return integer(key);
        }
        refuse(*keys.begin(), "an integer", "no such key");
    }
    index_t integer(const char* key) const {
        const json_value v = of_layer(key);
        const bool fits = v.is_number_integer() && v.get<double>() >= 0.0 && v.get<double>() <= 2147483647.0;
        if (!fits) refuse(key, "an integer of at least 0", v.is_null() ? "no such key" : v.dump());
        return v.get<index_t>();
    }
    index_t integer(const char* key, index_t otherwise) const { return has(key) ? integer(key) : otherwise; }
    // A list of two.
    std::pair<index_t, index_t> pair(const char* key) const {
        if (!has(key) || !json_[key].is_array() || json_[key].size() != 2) {
            refuse(key, "a list of two integers", has(key) ? json_[key].dump() : "no such key");
        }
        layer_config one = *this, two = *this;
        one.layer_ = 0;
        two.layer_ = 1;
        return {one.integer(key), two.integer(key)};
    }
    double number(const char* key) const {
        const json_value v = of_layer(key);
        if (!v.is_number()) refuse(key, "a number", v.is_null() ? "no such key" : v.dump());
        return v.get<double>();
    }
    double number(const char* key, double otherwise) const { return has(key) ? number(key) : otherwise; }
    bool flag(const char* key, bool otherwise) const {
        if (!has(key)) return otherwise;
        if (!json_[key].is_boolean()) refuse(key, "true or false", json_[key].dump());
        return json_[key].get<bool>();
    }
    std::string text(const char* key) const {
        const json_value v = of_layer(key);
        if (!v.is_string()) refuse(key, "a text", v.is_null() ? "no such key" : v.dump());
        return v.get<std::string>();
    }
    std::string text(const char* key, const std::string& otherwise) const { return has(key) ? text(key) : otherwise; }

    // Throws unless a text that is there is this one.
    void require(const char* key, const std::string& wanted) const {
        if (has(key) && text(key) != wanted) refuse(key, "'" + wanted + "'", moe::detail::excerpt(text(key)));
    }
    // Throws if a text that is there is this one.
    void forbid(const char* key, const std::string& unwanted) const {
        if (has(key) && text(key) == unwanted) refuse(key, "another than '" + unwanted + "'", "that");
    }

private:
    json_value of_layer(const char* key) const {
        if (!json_.contains(key)) return nullptr;
        const json_value& v = json_[key];
        if (!v.is_array()) return v;
        if (std::size_t(layer_) >= v.size()) refuse(key, std::string("a value for layer ") + std::to_string(layer_), "a shorter list");
        return v[std::size_t(layer_)];
    }
    [[noreturn]] void refuse(const std::string& key, const std::string& wanted, const std::string& got) const {
        throw io_error(moe::detail::wanted_got(path_ + ": " + key, wanted, got));
    }

    json_value json_;
    std::string path_;
    index_t layer_;
};

}  // namespace io

MOE_END
