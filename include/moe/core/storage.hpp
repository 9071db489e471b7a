// core/storage: owning arrays and matrices, 64-byte aligned, from a memory space
// SPDX-License-Identifier: Apache-2.0
//
// A memory space is a type with static allocate(bytes) and release(pointer, bytes); a backend names its own as
// `B::memory`. Elements are trivially copyable and start as zeros. Copies are deep, moves are cheap; allocation happens
// only in constructors and copies.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "moe/core/view.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

MOE_BEGIN

inline constexpr std::size_t storage_alignment = 64;

// Memory the host reads and writes. Large blocks ask the kernel for huge pages: weights that are read once per call are
// bound by address translation otherwise.
struct host_memory {
    static constexpr std::size_t huge_page = std::size_t{1} << 21;

    static std::size_t alignment(std::size_t bytes) { return bytes >= 2 * huge_page ? huge_page : storage_alignment; }

    static void* allocate(std::size_t bytes) {
        void* p = ::operator new(bytes, std::align_val_t{alignment(bytes)});
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (bytes >= 2 * huge_page) (void)::madvise(p, bytes, MADV_HUGEPAGE);
#endif
        return p;
    }

    static void release(void* p, std::size_t bytes) noexcept {
        ::operator delete(p, std::align_val_t{alignment(bytes)});
    }

    static void clear(void* p, std::size_t bytes) noexcept { std::memset(p, 0, bytes); }
    static void copy(void* to, const void* from, std::size_t bytes) noexcept { std::memcpy(to, from, bytes); }
};

template <class T, class Space = host_memory>
class buffer {
    static_assert(std::is_trivially_copyable_v<T>, "moe::buffer: elements are plain values");

public:
    using value_type = T;

    buffer() = default;
    explicit buffer(std::size_t size) : size_(size) {
        if (size == 0) return;
        if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
        data_ = static_cast<T*>(Space::allocate(bytes()));
        Space::clear(data_, bytes());
    }
    buffer(const buffer& other) : buffer(other.size_) {
        if (size_ != 0) Space::copy(data_, other.data_, bytes());
    }
    buffer(buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    buffer& operator=(buffer other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~buffer() {
        if (data_ != nullptr) Space::release(data_, bytes());
    }

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::span<T> span() { return {data_, size_}; }
    std::span<const T> span() const { return {data_, size_}; }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }

private:
    std::size_t bytes() const { return size_ * sizeof(T); }

    T* data_ = nullptr;
    std::size_t size_ = 0;
};

// A dense row-major matrix that owns its elements.
template <class T, class Space = host_memory>
class matrix {
public:
    using value_type = T;

    matrix() = default;
    matrix(index_t rows, index_t cols) : rows_(rows), cols_(cols) {
        if (rows < 0 || cols < 0) throw_shape("matrix", "a size of at least 0", std::to_string(std::min(rows, cols)));
        storage_ = buffer<T, Space>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    }

    index_t rows() const { return rows_; }
    index_t cols() const { return cols_; }
    T* data() { return storage_.data(); }
    const T* data() const { return storage_.data(); }
    std::size_t size() const { return storage_.size(); }
    std::span<T> span() { return storage_.span(); }
    std::span<const T> span() const { return storage_.span(); }

    matrix_view<T> view() { return {data(), rows_, cols_}; }
    matrix_view<const T> view() const { return {data(), rows_, cols_}; }
    operator matrix_view<T>() { return view(); }
    operator matrix_view<const T>() const { return view(); }

    T& operator()(index_t i, index_t j) { return view()(i, j); }
    const T& operator()(index_t i, index_t j) const { return view()(i, j); }

private:
    index_t rows_ = 0;
    index_t cols_ = 0;
    buffer<T, Space> storage_;
};

MOE_END
