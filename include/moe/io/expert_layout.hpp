// io/expert_layout: choose how a checkpoint holds the experts of a layer, and say what does not fit
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "moe/io/weight_binding.hpp"

MOE_BEGIN

namespace io {

// How a checkpoint holds the weights of the experts.
enum class expert_layout {
    per_expert,          // a tensor for every expert and product
    stacked,             // [E, 2H, D] gate and up merged, [E, D, H]
    stacked_transposed,  // [E, D, 2H], [E, H, D]
    stacked_separate,    // [E, H, D] twice, [E, D, H]
    interleaved,         // [E, D, 2H] with gate and up in turns, [E, H, D]
    interleaved_rows,    // [E, 2H, D] with gate and up in turns, [E, D, H]
    flattened,           // [E H, D] three times
};

constexpr const char* name_of(expert_layout l) {
    constexpr const char* names[] = {"per_expert",       "stacked",     "stacked_transposed",
                                     "stacked_separate", "interleaved", "interleaved_rows",
                                     "flattened"};
    return names[static_cast<std::size_t>(l)];
}

struct expert_bindings {
    expert_layout layout;
    std::vector<weight_binding> tensors;
};

struct layer_bindings {
    std::vector<weight_binding> fixed;     // router and shared experts
    std::vector<expert_bindings> experts;  // the layouts that occur
    std::vector<std::string> scopes;       // all tensors whose names begin like this belong to the layer
    std::vector<std::string> read_apart;   // of these, those that are no parameters: a table of token ids
    std::vector<std::string> ignored;      // and those that some programs write and none reads
};

// What was bound.
struct bound_weights {
    expert_layout layout = expert_layout::per_expert;
    std::vector<const checkpoint_tensor*> tensors;

    std::uint64_t bytes() const {
        std::uint64_t sum = 0;
        for (const auto* t : tensors) sum += t->codes->bytes.size() + (t->scales ? t->scales->bytes.size() : 0);
        return sum;
    }
};

namespace detail {

using moe::detail::shape_text;

// Compares bindings with a checkpoint.
class binding_check {
public:
    binding_check(const checkpoint& c, const std::string& prefix, const std::vector<weight_slot>& slots)
        : checkpoint_(c), prefix_(prefix), slots_(slots) {}

    void add(const std::vector<weight_binding>& bindings) {
        for (const weight_binding& b : bindings) add(b);
    }
    void use(const std::string& name) {
        const checkpoint_tensor* t = checkpoint_.find(name);
        if (t == nullptr) missing_.push_back(name);
        else halves_[t] += 2;
    }
    // Behind the last add: parameters without tensors, tensors without parameters.
    void finish(const std::vector<std::string>& scopes, const std::vector<std::string>& ignored) {
        for (const weight_slot& s : slots_) {
            if (parts_[s.parameter] == 0) missing_.push_back("one for the parameter " + s.parameter);
        }
        for (const checkpoint_tensor& t : checkpoint_.tensors()) {
            bool inside = false;
            for (const std::string& scope : scopes) inside = inside || t.name.starts_with(prefix_ + scope);
            const auto found = halves_.find(&t);
            for (const std::string& name : ignored) inside = inside && t.name != prefix_ + name;
            if (inside && found == halves_.end()) extra_.push_back(t.name);
            if (found != halves_.end() && found->second != 2) extra_.push_back(t.name + " (bound in part)");
        }
    }

    std::size_t faults() const { return missing_.size() + extra_.size() + misshaped_.size(); }
    std::string text() const {
        return list("missing", missing_) + list("extra", extra_) + list("misshaped", misshaped_);
    }
    std::vector<const checkpoint_tensor*> tensors() const {
        std::vector<const checkpoint_tensor*> all;
        for (const auto& [t, halves] : halves_) all.push_back(t);
        std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
        return all;
    }

private:
    void add(const weight_binding& b) {
        for (const weight_slot& s : slots_) {
            if (s.parameter != b.parameter) continue;
            ++parts_[s.parameter];
            for (index_t g = 0; g < (b.per_expert() ? s.groups : 1); ++g) add(b, s, b.name(prefix_, g));
        }
    }
    void add(const weight_binding& b, const weight_slot& s, const std::string& name) {
        const checkpoint_tensor* t = checkpoint_.find(name);
        if (t == nullptr) {
            if (!b.optional) missing_.push_back(name);
        } else if (!fits(b, s, *t)) {
            misshaped_.push_back(name + " (wanted " + shape_text(shapes_for(b, s).front()) + ", got " +
                                 shape_text(t->shape) + ")");
            halves_[t] = 2;
        } else {
            halves_[t] += b.rows == weight_rows::all ? 2 : 1;
        }
    }

    static std::string list(const char* what, const std::vector<std::string>& names) {
        constexpr std::size_t most = 12;
        if (names.empty()) return "";
        std::string text = std::string("\n  ") + what + " (" + std::to_string(names.size()) + "):";
        for (std::size_t i = 0; i < names.size() && i < most; ++i) text += "\n    " + names[i];
        return text + (names.size() > most ? "\n    ..." : "");
    }

    const checkpoint& checkpoint_;
    const std::string& prefix_;
    const std::vector<weight_slot>& slots_;
    std::map<std::string, int> parts_;
    std::map<const checkpoint_tensor*, int> halves_;
    std::vector<std::string> missing_, extra_, misshaped_;
};

// Whether a tensor that fits `a` would fit `b` the other way round.
inline bool ambiguous(const checkpoint& c, const std::string& prefix, const std::vector<weight_slot>& slots,
                      const expert_bindings& a, const expert_bindings& b, std::string& name) {
    for (const weight_binding& x : a.tensors) {
        for (const weight_binding& y : b.tensors) {
            if (x.parameter != y.parameter || x.tensor != y.tensor || x.transposed == y.transposed) continue;
            name = x.name(prefix, 0);
            const checkpoint_tensor* t = c.find(name);
            for (const weight_slot& s : slots) {
                const bool here = s.parameter == x.parameter && t != nullptr;
                if (here && fits(x, s, *t) && fits(y, s, *t)) return true;
            }
        }
    }
    return false;
}

inline std::string names_of(const std::vector<expert_bindings>& all) {
    std::string text;
    for (const expert_bindings& e : all) text += (text.empty() ? "" : ", ") + std::string(name_of(e.layout));
    return text;
}

// The layout that a checkpoint has; throws what is wrong with it, or with the nearest.
inline const expert_bindings& choose_layout(const checkpoint& c, const std::string& prefix, const std::string& where,
                                            const std::vector<weight_slot>& slots, const layer_bindings& l,
                                            std::optional<expert_layout> named, bound_weights& result) {
    const expert_bindings* best = nullptr;
    std::size_t fewest = 0;
    std::string faults;
    for (const expert_bindings& e : l.experts) {
        if (named && *named != e.layout) continue;
        binding_check check(c, prefix, slots);
        check.add(l.fixed);
        check.add(e.tensors);
        for (const std::string& name : l.read_apart) check.use(prefix + name);
        check.finish(l.scopes, l.ignored);
        if (best != nullptr && check.faults() >= fewest) continue;
        best = &e;
        fewest = check.faults();
        faults = check.text();
        result.layout = e.layout;
        result.tensors = check.tensors();
    }
    if (best == nullptr) throw_value(where + ": layout", names_of(l.experts), name_of(*named));
    if (fewest != 0) {
        throw io_error("moe: " + where + ": experts as " + name_of(best->layout) + " do not fit the layer:" + faults);
    }
    for (const expert_bindings& other : l.experts) {
        std::string name;
        if (!named && &other != best && ambiguous(c, prefix, slots, *best, other, name)) {
            throw io_error(moe::detail::wanted_got(where + ": tensor '" + name + "'",
                                              std::string("a named layout, because its shape fits ") +
                                                  name_of(best->layout) + " and " + name_of(other.layout), "none"));
        }
    }
    return *best;
}

}  // namespace detail

}  // namespace io

MOE_END
