// tests/io: files made by hand, and what reading them says
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

#include "moe/core/error.hpp"

// A folder that lasts as long as the object.
class scratch_folder {
public:
    scratch_folder() {
        static std::atomic<int> count{0};
        std::error_code taken;
        do {
            path_ = std::filesystem::temp_directory_path() / ("moe_test_io_" + std::to_string(count++));
        } while (!std::filesystem::create_directory(path_, taken));
    }
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;
    ~scratch_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::string path() const { return path_.string(); }
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }
    // The path of a new file with this content.
    std::string write(const std::string& name, const std::string& content) const {
        std::ofstream(path_ / name, std::ios::binary) << content;
        return *this / name;
    }

private:
    std::filesystem::path path_;
};

inline std::string content_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A safetensors file of this header and data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
    std::string out;
    for (unsigned i = 0; i < 8; ++i) out += static_cast<char>((header.size() >> (8 * i)) & 255);
    return out + header + data;
}

template <class N>
std::string bytes_of(std::initializer_list<N> numbers) {
    std::string out;
    for (const N& n : numbers) out.append(reinterpret_cast<const char*>(&n), sizeof n);
    return out;
}

// The sentence of the io_error that `f` throws.
template <class F>
std::string io_error_of(const F& f) {
    try {
        f();
    } catch (const moe::io_error& e) {
        return e.what();
    }
    return "no exception";
}
