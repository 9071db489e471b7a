// experts: a bank that belongs to somebody else, e.g. one bank for several layers
// SPDX-License-Identifier: Apache-2.0
//
//     moe::layer first{router1, moe::borrow(bank, gradient)};
//     moe::layer second{router2, moe::borrow(bank, gradient)};      both add to the one gradient
//
// The layer keeps a pointer: bank (and gradient) must outlive it and stay where they are. The layer does not show the
// bank's parameters; whoever owns the bank visits, trains and saves it. With borrow(bank) alone, each gradient of a
// layer holds a gradient of the bank of its own, reached by std::get<1>(layer_gradient).get().
// Source: UniPool (one pool of experts for all layers), Chain-of-Experts 2025, weight sharing over depth.
#pragma once

#include "moe/experts/bank.hpp"

MOE_BEGIN

// Where a borrowed bank's gradient goes: another's, or its own.
template <class G>
class borrowed_gradient {
public:
    borrowed_gradient(G* other, G own) : other_(other), own_(std::move(own)) {}

    G& get() { return other_ != nullptr ? *other_ : own_; }

private:
    G* other_;
    G own_;  // empty where there is another's
};

template <class Bank>
class borrowed {
public:
    using role = experts_part;
    using scalar = typename Bank::scalar;
    using gradient = borrowed_gradient<gradient_t<Bank>>;
    static constexpr bool applies_weight = detail::bank_applies_weight<Bank>();

    explicit borrowed(const Bank& bank, gradient_t<Bank>* into = nullptr) : bank_(&bank), into_(into) {}

    const Bank& bank() const { return *bank_; }
    index_t features() const { return bank_->features(); }
    index_t experts() const { return bank_->experts(); }
    index_t outputs() const { return detail::bank_outputs(*bank_); }

    template <class B>
    auto forward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<scalar> rows) const {
        return detail::value_of([&] { return bank_->forward(b, s, plan, rows); });
    }

    template <class B, class Saved>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, const Saved& kept, gradient& g) const {
        detail::bank_backward(*bank_, kept, g.get(), b, s, plan, d_rows, d);
    }
    template <class B>
    void backward(B& b, const routing<scalar>& s, const plan_view& plan, matrix_view<const scalar> d_rows,
                  adjoint<scalar>& d, gradient& g) const {
        backward(b, s, plan, d_rows, d, detail::nothing{}, g);
    }

    gradient make_gradient() const {
        if (into_ != nullptr) return {into_, empty<gradient_t<Bank>>()};
        return {nullptr, moe::make_gradient(*bank_)};
    }

private:
    // An own gradient that is never used costs a copy once where its type has no empty value.
    template <class G>
    G empty() const {
        if constexpr (std::is_default_constructible_v<G>) return G{};
        else return moe::make_gradient(*bank_);
    }

    const Bank* bank_;
    gradient_t<Bank>* into_;
};

template <class Bank>
borrowed<Bank> borrow(const Bank& bank) {
    return borrowed<Bank>(bank);
}
template <class Bank>
borrowed<Bank> borrow(const Bank& bank, gradient_t<Bank>& into) {
    return borrowed<Bank>(bank, &into);
}
template <class Bank>
borrowed<Bank> borrow(const Bank&&) = delete;  // nobody would own it

MOE_END
