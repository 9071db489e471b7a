// expect: moe: unsuitable backend: kernels<cuda_tag> has no products with codes
#include "moe/moe.hpp"

#include "moe/backend/cuda/kernels.hpp"

struct device {
    using tag = moe::cuda_tag;
    using memory = moe::host_memory;
    moe::arena& scratch();
    template <class F>
    void run(std::int64_t blocks, const F& body);
    void copy_in(void* to, const void* from, std::size_t bytes);
    void copy_out(void* to, const void* from, std::size_t bytes);
};

#ifdef MOE_COMPILE_OK
using weights = moe::f16_panels;
#else
using weights = moe::int8_panels<32>;
#endif

void run(device& b, const moe::row_groups& rows, moe::matrix_view<const float> x, const weights& w,
         moe::matrix_view<float> y) {
    moe::kernels<moe::cuda_tag>::grouped_linear(b, rows, x, w, {}, y);
}
