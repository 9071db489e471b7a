// io: a safetensors file -> its tensors, by name, mapped into memory
// SPDX-License-Identifier: Apache-2.0
//
//     moe::safetensors_file file("model.safetensors");
//     file.at("mlp.gate.weight").read(weights.view());     // into float, double or integers, converted
//     file.at("mlp.experts.w1").read(e * n, expert.view());  // the rows of expert e of [E,N,K]
//
//     8 bytes    length of the header, little-endian
//     header     {"__metadata__": {text: text}, NAME: {"dtype": TYPE, "shape": [...], "data_offsets": [begin, end]}, ...}
//     data       the tensors, row-major, without gaps; offsets count from here
//
// The header is checked as a whole when the file is opened: afterwards no read can leave the file. F8 and MXFP4 weights
// are stored as codes and scales in tensors of their own; checkpoint.hpp puts them together.
//
// errors        io_error naming file, tensor, wanted and got: whatever is not as above
// source        github.com/huggingface/safetensors, README "Format", version 0.8; limits as there
#pragma once

#include <algorithm>
#include <map>

#include "moe/io/json.hpp"
#include "moe/io/stored_tensor.hpp"

MOE_BEGIN

inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;  // bytes

namespace detail {

class safetensors_header {
public:
    safetensors_header(std::span<const unsigned char> file, const std::string& path)
        : path_(std::make_shared<const std::string>(path)) {
        const std::string_view text = header_text(file);
        data_ = file.subspan(8 + text.size());
        const json_value header = parse_json(text, path);
        if (!header.is_object()) fail("header", "an object", header.type_name());
        for (const auto& [name, entry] : header.items()) {
            if (name == "__metadata__") read_metadata(entry);
            else tensors.push_back(read_tensor(name, entry));
        }
        check_layout();
    }

    std::vector<stored_tensor> tensors;  // by name
    std::map<std::string, std::string> metadata;

private:
    [[noreturn]] void fail(const std::string& what, const std::string& wanted, const std::string& got) const {
        throw io_error(wanted_got(*path_ + ": " + what, wanted, got));
    }
    [[noreturn]] void fail_tensor(const std::string& name, const std::string& wanted, const std::string& got) const {
        fail(std::string("tensor ") + excerpt(name), wanted, got);
    }

    std::string_view header_text(std::span<const unsigned char> file) const {
        if (file.size() < 8) fail("size", "at least 8 bytes", std::to_string(file.size()));
        std::uint64_t length;
        std::memcpy(&length, file.data(), sizeof length);
        const std::uint64_t most = std::min<std::uint64_t>(safetensors_header_limit, file.size() - 8);
        if (length > most) fail("header length", std::string("at most ") + std::to_string(most), std::to_string(length));
        const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, static_cast<std::size_t>(length));
        if (text.empty() || text.front() != '{') fail("header", "an object that begins with '{'", "another text");
        return text;
    }

    void read_metadata(const json_value& entry) {
        if (!entry.is_object()) fail("__metadata__", "an object", entry.type_name());
        for (const auto& [key, value] : entry.items()) {
            if (!value.is_string()) fail(std::string("__metadata__ ") + excerpt(key), "a text", value.type_name());
            metadata[key] = value.get<std::string>();
        }
    }

    const json_value& member(const std::string& name, const json_value& entry, const char* key) const {
        const auto found = entry.find(key);
        if (found == entry.end()) fail_tensor(name, std::string("a member ") + key, "none");
        return *found;
    }

    std::vector<std::uint64_t> numbers(const std::string& name, const json_value& list, const char* key) const {
        if (!list.is_array()) fail_tensor(name, std::string(key) + ": an array", list.type_name());
        std::vector<std::uint64_t> out;
        for (const json_value& n : list) {
            if (!n.is_number_unsigned()) {
                fail_tensor(name, std::string(key) + ": integers from 0 to 2^64 - 1",
                            n.is_number() ? excerpt(n.dump()) : std::string(n.type_name()));
            }
            out.push_back(n.get<std::uint64_t>());
        }
        return out;
    }

    stored_tensor read_tensor(const std::string& name, const json_value& entry) const {
        if (!entry.is_object()) fail_tensor(name, "an object", entry.type_name());
        const json_value& type_text = member(name, entry, "dtype");
        if (!type_text.is_string()) fail_tensor(name, "dtype: a text", type_text.type_name());
        const auto type = stored_type_named(type_text.get_ref<const std::string&>());
        if (!type) fail_tensor(name, "dtype: a type of the format", excerpt(type_text.get_ref<const std::string&>()));
        stored_shape shape = numbers(name, member(name, entry, "shape"), "shape");
        const auto offsets = numbers(name, member(name, entry, "data_offsets"), "data_offsets");
        if (offsets.size() != 2) fail_tensor(name, "data_offsets: 2 numbers", std::to_string(offsets.size()));
        if (offsets[0] > offsets[1] || offsets[1] > data_.size()) {
            fail_tensor(name, std::string("data_offsets: in order and at most ") + std::to_string(data_.size()),
                        shape_text(offsets));
        }
        const std::uint64_t size = offsets[1] - offsets[0];
        const std::uint64_t bits = bits_wanted(name, shape, *type);
        if (bits % 8 != 0 || bits / 8 != size) {
            const std::string what = std::string(name_of(*type)) + " " + shape_text(shape);
            fail_tensor(name, std::to_string(bits) + " bits for " + what, std::to_string(size) + " bytes");
        }
        return {name, *type, std::move(shape), data_.subspan(std::size_t(offsets[0]), std::size_t(size)), path_};
    }

    std::uint64_t bits_wanted(const std::string& name, const stored_shape& shape, stored_type type) const {
        constexpr std::uint64_t largest = ~std::uint64_t{0};
        std::uint64_t n = 1;
        for (const std::uint64_t d : shape) {
            if (d != 0 && n > largest / d) {
                fail_tensor(name, "a shape with fewer than 2^64 elements", shape_text(shape));
            }
            n *= d;
        }
        if (n > largest / bits_of(type)) fail_tensor(name, "a shape with fewer than 2^64 bits", shape_text(shape));
        return n * bits_of(type);
    }

    // The tensors cover the data: no gap, no overlap, nothing behind the last.
    void check_layout() {
        const auto begin = [&](const stored_tensor& t) { return std::size_t(t.bytes.data() - data_.data()); };
        std::sort(tensors.begin(), tensors.end(), [&](const stored_tensor& a, const stored_tensor& b) {
            return std::pair(begin(a), a.bytes.size()) < std::pair(begin(b), b.bytes.size());
        });
        std::size_t end = 0;
        for (const stored_tensor& t : tensors) {
            if (begin(t) != end) {
                fail_tensor(t.name, std::string("data that begins at ") + std::to_string(end) + ", where the tensor before it ends",
                            std::to_string(begin(t)));
            }
            end += t.bytes.size();
        }
        if (end != data_.size()) {
            fail("data", std::to_string(end) + " bytes, all of them of tensors", std::to_string(data_.size()));
        }
        std::sort(tensors.begin(), tensors.end(),
                  [](const stored_tensor& a, const stored_tensor& b) { return a.name < b.name; });
    }

    std::shared_ptr<const std::string> path_;
    std::span<const unsigned char> data_;
};

// Of a range sorted by name; nullptr if there is none.
template <class Named>
const Named* find_by_name(std::span<const Named> sorted, std::string_view name) {
    const auto found = std::lower_bound(sorted.begin(), sorted.end(), name,
                                        [](const Named& t, std::string_view n) { return t.name < n; });
    return found == sorted.end() || found->name != name ? nullptr : &*found;
}

}  // namespace detail

class safetensors_file {
public:
    explicit safetensors_file(const std::string& path)
        : path_(path), file_(path), header_(file_.bytes(), path) {}

    std::span<const stored_tensor> tensors() const { return header_.tensors; }  // by name
    const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
    const std::string& path() const { return path_; }

    // nullptr if there is none.
    const stored_tensor* find(std::string_view name) const { return detail::find_by_name(tensors(), name); }
    const stored_tensor& at(std::string_view name) const {
        const stored_tensor* found = find(name);
        if (found != nullptr) return *found;
        throw io_error(detail::wanted_got(path_, "a tensor " + detail::excerpt(name),
                                          std::string("none of that name among ") + std::to_string(tensors().size())));
    }

private:
    std::string path_;
    mapped_file file_;
    detail::safetensors_header header_;
};

MOE_END
