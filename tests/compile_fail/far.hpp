// A backend whose memory the host cannot read, for the cases about such backends.
#include "moe/moe.hpp"

struct far_memory {
    static constexpr bool host_readable = false;
    static void* allocate(std::size_t);
    static void release(void*, std::size_t);
    static void fill(void*, unsigned char, std::size_t);
    static void copy(void*, const void*, std::size_t);
    static void copy_in(void*, const void*, std::size_t);
    static void copy_out(void*, const void*, std::size_t);
};

struct far_tag {};
struct far_backend {
    using tag = far_tag;
    using memory = far_memory;
    moe::arena& scratch();
};
template <>
struct moe::kernels<far_tag> : moe::kernels<moe::reference_tag> {};
