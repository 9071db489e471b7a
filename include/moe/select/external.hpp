// select: the choice given with the batch, and nothing else
// SPDX-License-Identifier: Apache-2.0
//
// For routers whose experts are always chosen outside: batch.replay_offset [T+1] and batch.replay_expert [slots] give the
// experts of every token; the router gathers the weights. With any other selector a given choice replaces the selection;
// this one refuses a batch without.
// errors        value_error if a batch with tokens gives no choice; what is given is checked by the router
// masked        slots of masked tokens are emptied
// determinism   a copy
#pragma once

#include "moe/backend/kernels.hpp"
#include "moe/core/roles.hpp"

MOE_BEGIN

struct external {
    using role = selector_step;
    static constexpr const char* name = "external";

    template <class T>
    void check(const batch<T>& in, index_t, index_t) const {
        if (in.tokens() > 0 && in.replay_offset.empty()) {
            throw_value("external", "batch.replay_offset [T+1] and batch.replay_expert", "a batch without them");
        }
    }

    template <class T>
    std::int64_t max_routes(const batch<T>& in, index_t) const {
        return static_cast<std::int64_t>(in.replay_expert.size());
    }

    template <class B, class T>
    void forward(B&, const routing<T>& s, ragged_choice c) const {
        const batch<T>& in = s.in();
        std::fill(c.offset.begin(), c.offset.end(), 0);
        std::copy(in.replay_offset.begin(), in.replay_offset.end(), c.offset.begin());
        std::copy(in.replay_expert.begin(), in.replay_expert.end(), c.expert.begin());
    }
};

MOE_END
