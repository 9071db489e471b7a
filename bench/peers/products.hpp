// bench/peers: products with the weights of one expert, on other libraries
// SPDX-License-Identifier: Apache-2.0
//
//     c [rows,N] = a [rows,K] W^T        W [N,K] row-major, given once
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "moe/core/bfloat16.hpp"
#include "moe/core/view.hpp"

#if defined(PEERS_DNNL)
#include <oneapi/dnnl/dnnl.hpp>
#endif
#if defined(PEERS_OPENBLAS)
#include <cblas.h>
#endif

namespace peers {

using moe::index_t;

struct product {
    virtual ~product() = default;
    virtual void multiply(const float* a, index_t rows, float* c) = 0;
};

#if defined(PEERS_OPENBLAS)
// Takes weights as they are.
class openblas_product : public product {
public:
    explicit openblas_product(moe::matrix_view<const float> w) : w_(w) {}
    void multiply(const float* a, index_t rows, float* c) override {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, w_.rows, w_.cols, 1.0f, a, w_.cols, w_.data, w_.cols,
                    0.0f, c, w_.rows);
    }

private:
    moe::matrix_view<const float> w_;
};
#endif

#if defined(PEERS_DNNL)
// Packs weights once in the layout that it asks for, and makes a primitive for every number of rows it meets. In the
// short form weights and rows are bfloat16, sums float.
class onednn_product : public product {
    using memory = dnnl::memory;

public:
    onednn_product(moe::matrix_view<const float> w, bool short_form)
        : n_(w.rows), k_(w.cols), type_(short_form ? memory::data_type::bf16 : memory::data_type::f32) {
        const memory::desc any({k_, n_}, type_, memory::format_tag::any);
        packed_ = memory(describe(64, any).weights_desc(), cpu());
        memory given({{k_, n_}, memory::data_type::f32, memory::format_tag::ba}, cpu(), const_cast<float*>(w.data));
        dnnl::reorder(given, packed_).execute(stream(), given, packed_);
        stream().wait();
    }
    void multiply(const float* a, index_t rows, float* c) override {
        auto& primitive = of_rows_[rows];
        if (!primitive) primitive = std::make_unique<dnnl::matmul>(describe(rows, packed_.get_desc()));
        memory source(plain(rows, k_, type_), cpu(), rows_of(a, std::size_t(rows) * std::size_t(k_)));
        memory target(plain(rows, n_), cpu(), c);
        primitive->execute(stream(), {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, packed_}, {DNNL_ARG_DST, target}});
        stream().wait();
    }

private:
    static dnnl::engine& cpu() {
        static dnnl::engine e(dnnl::engine::kind::cpu, 0);
        return e;
    }
    static dnnl::stream& stream() {
        static dnnl::stream s(cpu());
        return s;
    }
    static memory::desc plain(index_t rows, index_t cols, memory::data_type type = memory::data_type::f32) {
        return {{rows, cols}, type, memory::format_tag::ab};
    }
    void* rows_of(const float* a, std::size_t size) {
        if (type_ == memory::data_type::f32) return const_cast<float*>(a);
        static std::vector<moe::bfloat16> rounded;  // products run one after the other
        rounded.resize(std::max(rounded.size(), size));
        for (std::size_t i = 0; i < size; ++i) rounded[i] = moe::bfloat16(a[i]);
        return rounded.data();
    }
    dnnl::matmul::primitive_desc describe(index_t rows, const memory::desc& weights) const {
#if DNNL_VERSION_MAJOR >= 3
        return {cpu(), plain(rows, k_, type_), weights, plain(rows, n_)};
#else
        return {dnnl::matmul::desc(plain(rows, k_, type_), weights, plain(rows, n_)), cpu()};
#endif
    }

    index_t n_, k_;
    memory::data_type type_;
    memory packed_;
    std::map<index_t, std::unique_ptr<dnnl::matmul>> of_rows_;
};
#endif

// Null where the library is not there, or has no such format.
inline std::unique_ptr<product> make_product([[maybe_unused]] const std::string& library,
                                             [[maybe_unused]] const std::string& format,
                                             [[maybe_unused]] moe::matrix_view<const float> w) {
#if defined(PEERS_OPENBLAS)
    if (library == "openblas" && format == "f32") return std::make_unique<openblas_product>(w);
#endif
#if defined(PEERS_DNNL)
    if (library == "onednn") return std::make_unique<onednn_product>(w, format == "bf16");
#endif
    return nullptr;
}

}  // namespace peers
