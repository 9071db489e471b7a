// core/tape: what a forward in training leaves for losses and for backward; one type for all layers
// SPDX-License-Identifier: Apache-2.0
//
// A tape owns the memory of one forward's record. Between forward and backward, losses read `routing()` and `plan()` and
// add to `d.logits` and `d.scores`. `backward` consumes the tape; the next forward reuses its memory. The views of the
// batch (x, mask, labels, ...) must outlive backward.
#pragma once

#include <memory>

#include "moe/core/plan.hpp"
#include "moe/core/routes.hpp"

MOE_BEGIN

template <class T>
class tape {
public:
    // The routing and the plan of the last forward; valid until the next one.
    const moe::routing<T>& routing() const {
        if (routing_ == nullptr) throw_value("tape", "a tape that a forward has recorded", "an empty tape");
        return *routing_;
    }
    const plan_view& plan() const {
        routing();
        return plan_;
    }
    const batch<T>& in() const { return in_; }

    adjoint<T> d;

    arena& memory() { return memory_; }

    // The record of the i-th inner layer of a layer made of layers (residual, iterated).
    tape& child(std::size_t i) {
        while (children_.size() <= i) children_.push_back(std::make_unique<tape>());
        return *children_[i];
    }

    // For layers: `begin` forgets the last record; `keep` holds a new one; `take` hands it to backward, once.
    // `space` is where the backend of this forward has its memory.
    const batch<T>& begin(const batch<T>& in, const memory_space& space = host_space) {
        memory_.restart(space);
        routing_ = nullptr;
        record_ = nullptr;
        d = {};
        in_ = in;
        return in_;
    }
    void keep(const moe::routing<T>* routing, const plan_view& plan, const void* type, void* record) {
        routing_ = routing;
        plan_ = plan;
        type_ = type;
        record_ = record;
    }
    void* take(const void* type) {
        if (record_ == nullptr) {
            throw_value("tape", "the record of a forward that no backward has used", "an empty or used tape");
        }
        if (type != type_) {
            throw_value("tape", "the record of this type of layer on this backend", "the record of another one");
        }
        return std::exchange(record_, nullptr);
    }

private:
    arena memory_;
    std::vector<std::unique_ptr<tape>> children_;
    batch<T> in_;
    const moe::routing<T>* routing_ = nullptr;
    plan_view plan_;
    const void* type_ = nullptr;
    void* record_ = nullptr;
};

namespace detail {

// One address per type of record; never read or written. Not const: equal constants may be merged.
template <class Record>
inline char record_type{};

}  // namespace detail

MOE_END
