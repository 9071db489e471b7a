// io: tensors -> a safetensors file, piece by piece
// SPDX-License-Identifier: Apache-2.0
//
//     moe::safetensors_writer out("model.safetensors", {{"gate.weight", moe::stored_type::bf16, {8, 64}},
//                                                       {"experts.w1", moe::stored_type::f32, {8, 32, 64}}});
//     out.write("gate.weight", gate.view());
//     for (...) out.write("experts.w1", expert.view());  // the next rows: those of one expert after the other
//     out.finish();
//
// All tensors are declared first, because the header stands before the data; then they come in any order, each in as
// many calls as one likes, and nothing is kept in memory. Elements are converted as element_codec.hpp says. The bytes
// are those of the format's own library for the same tensors: sorted by type, then name, the header padded to 8 bytes.
//
// errors        io_error naming file, tensor, wanted and got: a name twice, rows that do not fit, a value that the type
//               does not hold, a failed write, tensors that are not complete when finish is called
// write         beside the file; finish renames, so without it the old file stays and the new one is gone
// source        github.com/huggingface/safetensors, safetensors/src/tensor.rs `prepare`, version 0.8
#pragma once

#include <algorithm>
#include <map>

#include "moe/io/byte_file.hpp"
#include "moe/io/json.hpp"
#include "moe/io/stored_tensor.hpp"

MOE_BEGIN

struct tensor_declaration {
    std::string name;
    stored_type type = stored_type::f32;
    stored_shape shape = {};
};

namespace detail {

// Bytes of a tensor; throws unless they are a whole number below 2^63.
inline std::uint64_t bytes_of(const tensor_declaration& t, const std::string& where) {
    std::uint64_t n = bits_of(t.type);
    for (const std::uint64_t d : t.shape) {
        if (d != 0 && n > (~std::uint64_t{0} >> 1) / d) {
            throw io_error(wanted_got(where, "a tensor of fewer than 2^63 bits", shape_text(t.shape)));
        }
        n *= d;
    }
    if (n % 8 != 0) throw io_error(wanted_got(where, "whole bytes", std::to_string(n) + " bits"));
    return n / 8;
}

inline std::string json_text(const std::string& text, const std::string& where) {
    try {
        return json_value(text).dump();
    } catch (const json_value::exception&) {
        throw io_error(wanted_got(where, "names and metadata in UTF-8", excerpt(text)));
    }
}

}  // namespace detail

class safetensors_writer {
public:
    safetensors_writer(const std::string& path, std::vector<tensor_declaration> tensors,
                       const std::map<std::string, std::string>& metadata = {})
        : path_(path) {
        std::sort(tensors.begin(), tensors.end(), [](const tensor_declaration& a, const tensor_declaration& b) {
            return a.type != b.type ? a.type > b.type : a.name < b.name;
        });
        std::string header = "{";
        if (!metadata.empty()) header += "\"__metadata__\":" + metadata_text(metadata);
        std::uint64_t end = 0;
        for (const tensor_declaration& t : tensors) header += (header.size() == 1 ? "" : ",") + declare(t, end);
        header += "}";
        header.append((8 - header.size() % 8) % 8, ' ');
        std::string start;
        for (unsigned i = 0; i < 8; ++i) start += static_cast<char>((header.size() >> (8 * i)) & 255);
        start += header;
        data_ = start.size();
        file_.emplace_back(path);
        file_.front().write(0, start);
    }

    // The next rows of a tensor.
    template <class U>
    void write(std::string_view name, matrix_view<U> rows) {
        using T = std::remove_const_t<U>;
        place& to = open_place(name);
        detail::require_rows(where(name), to.tensor.shape, to.rows, rows.rows, rows.cols);
        const auto encode = detail::encoder_of<T>(to.tensor.type);
        if (encode == nullptr) {
            throw io_error(detail::wanted_got(where(name), "a type that is written from " + detail::element_name<T>(),
                                              std::string(name_of(to.tensor.type))));
        }
        constexpr std::size_t piece = std::size_t{1} << 18;
        const std::size_t width = static_cast<std::size_t>(rows.cols);
        const std::size_t row_bytes = width * bits_of(to.tensor.type) / 8;
        std::vector<unsigned char> bytes;
        std::uint64_t at = data_ + to.begin + to.rows * row_bytes;
        for (index_t r = 0; r < rows.rows; ++r) {
            bytes.resize(bytes.size() + row_bytes);
            const std::size_t done = encode({rows.row(r), width}, bytes.data() + (bytes.size() - row_bytes));
            if (done != width) refuse_value(name, to, std::uint64_t(r) * width + done);
            if (bytes.size() < piece && r + 1 < rows.rows) continue;
            file_.front().write(at, bytes);
            at += bytes.size();
            bytes.clear();
        }
        to.rows += std::uint64_t(rows.rows);
    }
    // A vector or a scalar, or all of a tensor in row-major order.
    template <class U>
    void write(std::string_view name, std::span<U> values) {
        const auto found = places_.find(name);
        const stored_shape shape = found == places_.end() ? stored_shape{values.size()} : found->second.tensor.shape;
        write(name, detail::view_as(where(name), shape, values));
    }

    // As it lies in another file, codes and all; type and shape are those of the declaration.
    void copy(const stored_tensor& from) {
        place& to = open_place(from.name);
        if (from.type != to.tensor.type || from.shape != to.tensor.shape || to.rows != 0) {
            const auto text = [](stored_type type, const stored_shape& shape) {
                return std::string(name_of(type)) + " " + detail::shape_text(shape);
            };
            throw io_error(detail::wanted_got(where(from.name), "all of " + text(to.tensor.type, to.tensor.shape),
                                              text(from.type, from.shape)));
        }
        file_.front().write(data_ + to.begin, from.bytes);
        to.rows = from.rows();
    }

    void finish() {
        for (const auto& [name, to] : places_) {
            const std::uint64_t wanted = detail::rows_of(to.tensor.shape);
            if (to.rows == wanted || to.bytes == 0) continue;
            throw io_error(detail::wanted_got(where(name), std::to_string(wanted) + " rows", std::to_string(to.rows)));
        }
        if (file_.empty()) return;
        file_.front().keep();
        file_.clear();
    }

private:
    struct place {
        tensor_declaration tensor;
        std::uint64_t begin = 0;
        std::uint64_t bytes = 0;
        std::uint64_t rows = 0;  // written so far
    };

    place& open_place(std::string_view name) {
        const auto found = places_.find(name);
        if (found != places_.end() && !file_.empty()) return found->second;
        throw io_error(detail::wanted_got(path_, "a tensor that was declared", detail::excerpt(name)));
    }

    std::string where(std::string_view name) const { return path_ + ": tensor " + detail::excerpt(name); }

    std::string metadata_text(const std::map<std::string, std::string>& metadata) const {
        std::string text;
        for (const auto& [key, value] : metadata) {
            text += (text.empty() ? "{" : ",") + detail::json_text(key, path_) + ":" + detail::json_text(value, path_);
        }
        return text + "}";
    }

    // Gives the tensor its place; returns its entry in the header.
    std::string declare(const tensor_declaration& t, std::uint64_t& end) {
        const std::uint64_t bytes = detail::bytes_of(t, where(t.name));
        if (t.name == "__metadata__" || !places_.emplace(t.name, place{t, end, bytes, 0}).second) {
            throw io_error(detail::wanted_got(path_, "every tensor once, none of them __metadata__",
                                              detail::excerpt(t.name)));
        }
        std::string shape;
        for (const std::uint64_t d : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(d);
        std::string text = detail::json_text(t.name, path_) + ":{\"dtype\":\"" + std::string(name_of(t.type)) +
                           "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(end);
        end += bytes;
        return text + "," + std::to_string(end) + "]}";
    }

    [[noreturn]] void refuse_value(std::string_view name, const place& to, std::uint64_t element) const {
        element += to.rows * detail::columns_of(to.tensor.shape);
        throw io_error(detail::wanted_got(where(name), "values that " + std::string(name_of(to.tensor.type)) + " holds",
                                          std::string("another in element ") + std::to_string(element)));
    }

    std::string path_;
    std::uint64_t data_ = 0;                             // where the data begins
    std::map<std::string, place, std::less<>> places_;
    std::vector<detail::unfinished_file> file_;          // none once it is finished
};

MOE_END
