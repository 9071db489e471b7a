// io: a whole file as bytes, mapped where the system can, read elsewhere
// SPDX-License-Identifier: Apache-2.0
//
// Pages come from the disk when they are first touched, so opening costs nothing and what is never read is never
// loaded. The file must not be shortened while it is mapped: touching what is gone ends the program, as with every
// mapping.
//
// errors        io_error naming the path: absent, unreadable, not a regular file
#pragma once

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "moe/core/error.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define MOE_MAPS_FILES 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <fstream>
#include <vector>
#endif

MOE_BEGIN

#if defined(MOE_MAPS_FILES)

class mapped_file {
public:
    explicit mapped_file(const std::string& path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0) fail(path, std::strerror(errno));
        const char* fault = map(file);
        ::close(file);
        if (fault != nullptr) fail(path, fault);
    }
    mapped_file(mapped_file&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    mapped_file& operator=(mapped_file other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~mapped_file() {
        if (data_ != nullptr) ::munmap(data_, size_);
    }

    // Stays where it is when the object is moved.
    std::span<const unsigned char> bytes() const { return {static_cast<const unsigned char*>(data_), size_}; }

private:
    // What went wrong, or nullptr. An empty file has no mapping.
    const char* map(int file) {
        struct stat about;
        if (::fstat(file, &about) != 0) return std::strerror(errno);
        if (!S_ISREG(about.st_mode)) return "something else (a directory, a device, a pipe)";
        if (static_cast<std::uintmax_t>(about.st_size) > SIZE_MAX) return "one larger than the address space";
        if (about.st_size == 0) return nullptr;
        void* p = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ, MAP_PRIVATE, file, 0);
        if (p == MAP_FAILED) return std::strerror(errno);
        data_ = p;
        size_ = static_cast<std::size_t>(about.st_size);
        return nullptr;
    }
    [[noreturn]] static void fail(const std::string& path, const char* got) {
        throw io_error(detail::wanted_got(path, "a file that can be read", got));
    }

    void* data_ = nullptr;
    std::size_t size_ = 0;
};

#else

class mapped_file {
public:
    explicit mapped_file(const std::string& path) {
        std::ifstream in(path, std::ios::binary | std::ios::ate);
        const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : -1;
        if (size >= 0) {
            content_.resize(static_cast<std::size_t>(size));
            in.seekg(0);
            in.read(reinterpret_cast<char*>(content_.data()), static_cast<std::streamsize>(size));
        }
        if (!in) throw io_error(detail::wanted_got(path, "a file that can be read", "none, or a failed read"));
    }
    mapped_file(mapped_file&&) noexcept = default;
    mapped_file& operator=(mapped_file&&) noexcept = default;

    std::span<const unsigned char> bytes() const { return content_; }

private:
    std::vector<unsigned char> content_;
};

#endif

MOE_END
