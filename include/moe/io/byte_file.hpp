// io: the bytes of small files: read and written whole, taken apart and put together
// SPDX-License-Identifier: Apache-2.0
//
// Numbers are little-endian. Files are written beside their place and renamed, so a failed write leaves the old file.
#pragma once

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <utility>
#include <vector>

#include "moe/core/error.hpp"

MOE_BEGIN

namespace detail {

static_assert(std::endian::native == std::endian::little,
              "moe: files are read and written on little-endian machines only");

inline std::uint64_t fnv1a(std::span<const unsigned char> bytes) {
    std::uint64_t h = 14695981039346656037ull;
    for (const unsigned char c : bytes) h = (h ^ c) * 1099511628211ull;
    return h;
}

template <class N>
void append(std::vector<unsigned char>& out, const N& number) {
    const auto* p = reinterpret_cast<const unsigned char*>(&number);
    out.insert(out.end(), p, p + sizeof(N));
}

// Reads forward through bytes that may be hostile.
class file_reader {
public:
    file_reader(std::span<const unsigned char> bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}

    std::span<const unsigned char> take(std::size_t count, const std::string& what) {
        if (left() < count) fail(what, std::to_string(count) + " bytes", std::to_string(left()));
        at_ += count;
        return bytes_.subspan(at_ - count, count);
    }
    template <class N>
    N number(const std::string& what) {
        N n;
        std::memcpy(&n, take(sizeof(N), what).data(), sizeof(N));
        return n;
    }
    std::size_t left() const { return bytes_.size() - at_; }

    [[noreturn]] void fail(const std::string& what, const std::string& wanted, const std::string& got) const {
        throw io_error(wanted_got(path_ + ": " + what, wanted, got));
    }

private:
    std::span<const unsigned char> bytes_;
    std::string path_;
    std::size_t at_ = 0;
};

// The file `path` + ".part" while it is written; `keep` makes it `path`, otherwise it is removed.
class unfinished_file {
public:
    explicit unfinished_file(const std::string& path) : path_(path), out_(part(), std::ios::binary | std::ios::trunc) {
        check();
    }
    unfinished_file(unfinished_file&& other) noexcept
        : path_(std::exchange(other.path_, std::string())), out_(std::move(other.out_)) {}
    unfinished_file& operator=(unfinished_file&&) = delete;
    ~unfinished_file() {
        if (path_.empty()) return;
        out_.close();
        std::error_code ignored;
        std::filesystem::remove(part(), ignored);
    }

    void write(std::uint64_t at, std::span<const unsigned char> bytes) {
        out_.seekp(static_cast<std::streamoff>(at));
        out_.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        check();
    }
    void write(std::uint64_t at, std::string_view text) {
        write(at, std::span(reinterpret_cast<const unsigned char*>(text.data()), text.size()));
    }
    void keep() {
        out_.close();
        check();
        std::error_code failed;
        std::filesystem::rename(part(), path_, failed);
        if (failed) throw io_error(wanted_got(path_, "a file that can be written", failed.message()));
        path_.clear();
    }

private:
    std::string part() const { return path_ + ".part"; }
    void check() const {
        if (!out_) throw io_error(wanted_got(path_, "a file that can be written", "a failed write"));
    }

    std::string path_;
    std::ofstream out_;
};

inline void write_file(const std::string& path, std::span<const unsigned char> bytes) {
    unfinished_file out(path);
    out.write(0, bytes);
    out.keep();
}

inline std::vector<unsigned char> read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : -1;
    if (size < 0) throw io_error(wanted_got(path, "a file that can be read", "none"));
    std::vector<unsigned char> bytes(static_cast<std::size_t>(size));
    in.seekg(0);
    in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!in && size != 0) throw io_error(wanted_got(path, "a file that can be read", "a failed read"));
    return bytes;
}

}  // namespace detail

MOE_END
