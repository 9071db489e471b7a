// backend/cuda: a device behind one object: stream, memory, launches
// SPDX-License-Identifier: Apache-2.0
//
// For translation units of nvcc, with --extended-lambda (row programs are lambdas) and --expt-relaxed-constexpr (they
// use std::span). A layer runs there once its weights and its batch do:
//
//     moe::cuda device;
//     auto there = moe::copy_to(device, layer);
//     auto x_there = moe::copy_to(device, x);
//     auto y = moe::copy_to(moe::reference{}, there(device, x_there));
//
// One thread uses an object at a time; it belongs to the device that is current when it is made, and so does its memory.
// errors        a failed call throws moe::cuda_error, which names it. A kernel's own failure is reported by the next
//               call that waits for the device
// state         compiled and linked by nvcc; the kernel bodies are tested on the host; never run on a device so far
#pragma once

#include <cuda_runtime.h>

#include "moe/backend/cuda/kernels.hpp"

#if !defined(__CUDACC_EXTENDED_LAMBDA__) || !defined(__CUDACC_RELAXED_CONSTEXPR__)
#error "moe::cuda needs nvcc with --extended-lambda --expt-relaxed-constexpr"
#endif

MOE_BEGIN

// A call of the CUDA runtime failed.
struct cuda_error : error {
    using error::error;
};

namespace detail {

inline void check_cuda(cudaError_t status, const char* call) {
    if (status == cudaSuccess) return;
    throw cuda_error(std::string("moe: ") + call + ": " + cudaGetErrorString(status));
}

template <class Body>
__global__ void __launch_bounds__(threads_per_block) run_body(const Body body) {
    body(static_cast<index_t>(blockIdx.x), static_cast<index_t>(threadIdx.x));
}

}  // namespace detail

// Memory of the current device. Every function is complete when it returns; the stream of a moe::cuda waits for the
// legacy stream used here and the other way round.
struct cuda_memory {
    static constexpr bool host_readable = false;

    static void* allocate(std::size_t bytes) {
        void* p = nullptr;
        detail::check_cuda(cudaMalloc(&p, bytes), "cudaMalloc");
        return p;
    }
    static void release(void* p, std::size_t) noexcept { (void)cudaFree(p); }
    static void fill(void* p, unsigned char byte, std::size_t bytes) {
        detail::check_cuda(cudaMemsetAsync(p, byte, bytes, cudaStreamLegacy), "cudaMemset");
        wait();
    }
    static void copy(void* to, const void* from, std::size_t bytes) {
        copy(to, from, bytes, cudaMemcpyDeviceToDevice, "cudaMemcpy within the device");
    }
    static void copy_in(void* to, const void* from, std::size_t bytes) {
        copy(to, from, bytes, cudaMemcpyHostToDevice, "cudaMemcpy to the device");
    }
    static void copy_out(void* to, const void* from, std::size_t bytes) {
        copy(to, from, bytes, cudaMemcpyDeviceToHost, "cudaMemcpy to the host");
    }

private:
    static void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, const char* call) {
        detail::check_cuda(cudaMemcpyAsync(to, from, bytes, kind, cudaStreamLegacy), call);
        wait();
    }
    static void wait() { detail::check_cuda(cudaStreamSynchronize(cudaStreamLegacy), "cudaStreamSynchronize"); }
};

class cuda {
public:
    using tag = cuda_tag;
    using memory = cuda_memory;

    cuda() { detail::check_cuda(cudaStreamCreate(&stream_), "cudaStreamCreate"); }
    cuda(const cuda&) = delete;
    cuda& operator=(const cuda&) = delete;
    ~cuda() {
        (void)cudaStreamSynchronize(stream_);
        (void)cudaStreamDestroy(stream_);
    }

    arena& scratch() { return scratch_; }
    cudaStream_t stream() const { return stream_; }

    // Waits for everything that was launched.
    void synchronize() { detail::check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

    // What kernels<cuda_tag> asks of a backend object.
    template <class Body>
    void run(index_t blocks, const Body& body) {
        detail::run_body<<<static_cast<unsigned>(blocks), detail::threads_per_block, 0, stream_>>>(body);
        detail::check_cuda(cudaGetLastError(), "launch of a kernel");
    }
    void copy_in(void* to, const void* from, std::size_t bytes) {
        copy(to, from, bytes, cudaMemcpyHostToDevice, "cudaMemcpyAsync to the device");
    }
    void copy_out(void* to, const void* from, std::size_t bytes) {
        copy(to, from, bytes, cudaMemcpyDeviceToHost, "cudaMemcpyAsync to the host");
    }

private:
    void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, const char* call) {
        detail::check_cuda(cudaMemcpyAsync(to, from, bytes, kind, stream_), call);
        synchronize();
    }

    arena scratch_{space_of<cuda_memory>};
    cudaStream_t stream_ = nullptr;
};

MOE_END
