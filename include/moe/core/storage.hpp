// core/storage: owning arrays and matrices, 64-byte aligned, in a memory space
// SPDX-License-Identifier: Apache-2.0
//
// A memory space is a type with the static functions of host_memory below; a backend names its own as `B::memory`.
// Which one an array lives in is a value, not part of its type: the same layer lives in either, and `move_to` takes it
// there. Element access, views' operators and plain loops are for arrays that the host reads.
//
// Elements are trivially copyable and start as zeros. Copies are deep and stay in their space, moves are cheap;
// allocation happens only in constructors, copies and move_to.
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
    static constexpr bool host_readable = true;
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

    static void fill(void* p, unsigned char byte, std::size_t bytes) noexcept { std::memset(p, byte, bytes); }
    // Within the space, from the host into it, from it to the host.
    static void copy(void* to, const void* from, std::size_t bytes) noexcept { std::memcpy(to, from, bytes); }
    static void copy_in(void* to, const void* from, std::size_t bytes) noexcept { copy(to, from, bytes); }
    static void copy_out(void* to, const void* from, std::size_t bytes) noexcept { copy(to, from, bytes); }
};

// A memory space as a value.
struct memory_space {
    bool host_readable;
    void* (*allocate)(std::size_t);
    void (*release)(void*, std::size_t);
    void (*fill)(void*, unsigned char, std::size_t);
    void (*copy)(void*, const void*, std::size_t);
    void (*copy_in)(void*, const void*, std::size_t);
    void (*copy_out)(void*, const void*, std::size_t);
};

template <class Memory>
inline constexpr memory_space space_of{Memory::host_readable, &Memory::allocate, &Memory::release, &Memory::fill,
                                       &Memory::copy,         &Memory::copy_in,  &Memory::copy_out};

inline constexpr const memory_space& host_space = space_of<host_memory>;

namespace detail {

// For plain loops over what may live elsewhere.
inline void require_host(const std::string& name, const memory_space& space) {
    if (space.host_readable) return;
    throw_value(name, "memory that the host reads; moe::copy_to(moe::reference{}, ...) makes such a copy",
                "memory of another backend");
}

}  // namespace detail

template <class T>
class buffer {
    static_assert(std::is_trivially_copyable_v<T>, "moe::buffer: elements are plain values");

public:
    using value_type = T;

    buffer() = default;
    explicit buffer(std::size_t size, const memory_space& space = host_space) : size_(size), space_(&space) {
        if (size == 0) return;
        if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
        data_ = static_cast<T*>(space.allocate(bytes()));
        clear();
    }
    // Takes over `size` elements that `space` releases.
    buffer(T* data, std::size_t size, const memory_space& space) : data_(data), size_(size), space_(&space) {}
    buffer(const buffer& other) : buffer(other.size_, *other.space_) {
        if (size_ != 0) space_->copy(data_, other.data_, bytes());
    }
    buffer(buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), space_(other.space_) {}
    buffer& operator=(buffer other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(space_, other.space_);
        return *this;
    }
    ~buffer() {
        if (data_ != nullptr) space_->release(data_, bytes());
    }

    const memory_space& space() const { return *space_; }
    // Takes the elements to another space; from one device to another they pass the host.
    void move_to(const memory_space& to) {
        if (&to == space_) return;
        if (!space_->host_readable && !to.host_readable) move_to(host_space);
        buffer moved(size_, to);
        if (size_ != 0 && space_->host_readable) to.copy_in(moved.data_, data_, bytes());
        else if (size_ != 0) space_->copy_out(moved.data_, data_, bytes());
        *this = std::move(moved);
    }
    // New memory for the elements, in a space that the host reads as it reads theirs; copy(to, from, bytes) is first to
    // touch it.
    template <class Copy>
    void renew(const memory_space& to, const Copy& copy) {
        if (size_ == 0) return;
        buffer moved(static_cast<T*>(to.allocate(bytes())), size_, to);
        copy(static_cast<void*>(moved.data_), static_cast<const void*>(data_), bytes());
        *this = std::move(moved);
    }
    // All elements become 0.
    void clear() {
        if (size_ != 0) space_->fill(data_, 0, bytes());
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
    const memory_space* space_ = &host_space;
};

// A dense row-major matrix that owns its elements.
template <class T>
class matrix {
public:
    using value_type = T;

    matrix() = default;
    matrix(index_t rows, index_t cols, const memory_space& space = host_space) : rows_(rows), cols_(cols) {
        if (rows < 0 || cols < 0) throw_shape("matrix", "a size of at least 0", std::to_string(std::min(rows, cols)));
        storage_ = buffer<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols), space);
    }

    index_t rows() const { return rows_; }
    index_t cols() const { return cols_; }
    T* data() { return storage_.data(); }
    const T* data() const { return storage_.data(); }
    std::size_t size() const { return storage_.size(); }
    std::span<T> span() { return storage_.span(); }
    std::span<const T> span() const { return storage_.span(); }

    const memory_space& space() const { return storage_.space(); }
    void move_to(const memory_space& to) { storage_.move_to(to); }
    template <class Copy>
    void renew(const memory_space& to, const Copy& copy) {
        storage_.renew(to, copy);
    }
    void clear() { storage_.clear(); }

    matrix_view<T> view() { return {data(), rows_, cols_}; }
    matrix_view<const T> view() const { return {data(), rows_, cols_}; }
    operator matrix_view<T>() { return view(); }
    operator matrix_view<const T>() const { return view(); }

    T& operator()(index_t i, index_t j) { return view()(i, j); }
    const T& operator()(index_t i, index_t j) const { return view()(i, j); }

private:
    index_t rows_ = 0;
    index_t cols_ = 0;
    buffer<T> storage_;
};

namespace detail {

// Calls f with the array, or with a copy on the host that then takes the array's place.
template <class Array, class F>
void on_host(Array& array, const F& f) {
    if (array.space().host_readable) return f(array);
    Array copy = array;
    copy.move_to(host_space);
    f(copy);
    copy.move_to(array.space());
    array = std::move(copy);
}

}  // namespace detail

MOE_END
