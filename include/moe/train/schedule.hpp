// train/schedule: step -> value, for learning rates, coefficients, temperatures, K and capacities
// SPDX-License-Identifier: Apache-2.0
//
// Pure functions of the step (or of any signal that is counted like one): nothing is remembered, resuming needs no state.
//
//     constant_schedule   value
//     linear_schedule     from + (to - from) * u        u = (step - begin) / steps, cut to [0, 1]
//     cosine_schedule     to + (from - to) * (1 + cos(pi u)) / 2
//     quarter_cosine      to + (from - to) * cos(pi u / 2)                               (SMoE-Dropout's cosine)
//     exponential         from * (to / from)^u
//     table_schedule      the value of the last entry whose step is not above this one
//     warm_up             another schedule times min(1, (step + 1) / steps)
//
// rounded(v) is the nearest integer, halves to the even one, as the Python sources of these schedules round; a schedule
// of K is rounded(schedule(step)).
// errors        at the call: steps below 1, a table that is empty or not ascending, exponential ends not above 0
#pragma once

#include <cmath>

#include "moe/core/view.hpp"

MOE_BEGIN

namespace detail {

inline double schedule_part(std::uint64_t step, std::uint64_t begin, std::uint64_t steps, const char* name) {
    if (steps < 1) throw_value(std::string(name) + ".steps", "at least 1", std::to_string(steps));
    if (step <= begin) return 0.0;
    return step - begin >= steps ? 1.0 : static_cast<double>(step - begin) / static_cast<double>(steps);
}

inline constexpr double pi = 3.141592653589793238;

}  // namespace detail

struct constant_schedule {
    double value = 0.0;
    double operator()(std::uint64_t) const { return value; }
};

struct linear_schedule {
    double from = 0.0, to = 0.0;
    std::uint64_t steps = 1, begin = 0;
    double operator()(std::uint64_t step) const {
        const double u = detail::schedule_part(step, begin, steps, "linear_schedule");
        return u == 1.0 ? to : from + (to - from) * u;
    }
};

struct cosine_schedule {
    double from = 0.0, to = 0.0;
    std::uint64_t steps = 1, begin = 0;
    double operator()(std::uint64_t step) const {
        const double u = detail::schedule_part(step, begin, steps, "cosine_schedule");
        return u == 1.0 ? to : to + (from - to) * (1.0 + std::cos(detail::pi * u)) / 2.0;
    }
};

struct quarter_cosine_schedule {
    double from = 0.0, to = 0.0;
    std::uint64_t steps = 1, begin = 0;
    double operator()(std::uint64_t step) const {
        const double u = detail::schedule_part(step, begin, steps, "quarter_cosine_schedule");
        return u == 1.0 ? to : to + (from - to) * std::cos(detail::pi * u / 2.0);
    }
};

struct exponential_schedule {
    double from = 1.0, to = 1.0;
    std::uint64_t steps = 1, begin = 0;
    double operator()(std::uint64_t step) const {
        if (!(from > 0.0)) throw_value("exponential_schedule.from", "above 0", std::to_string(from));
        if (!(to > 0.0)) throw_value("exponential_schedule.to", "above 0", std::to_string(to));
        const double u = detail::schedule_part(step, begin, steps, "exponential_schedule");
        return u == 1.0 ? to : from * std::pow(to / from, u);
    }
};

struct schedule_entry {
    std::uint64_t step = 0;
    double value = 0.0;
};

// Entries are viewed, not copied; before the first one its value counts.
struct table_schedule {
    std::span<const schedule_entry> entries;
    double operator()(std::uint64_t step) const {
        if (entries.empty()) throw_value("table_schedule.entries", "at least one", "none");
        double value = entries.front().value;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            if (i > 0 && entries[i].step <= entries[i - 1].step) {
                throw_value(std::string("table_schedule.entries[") + std::to_string(i) + "].step",
                            std::string("above ") + std::to_string(entries[i - 1].step), std::to_string(entries[i].step));
            }
            if (entries[i].step <= step) value = entries[i].value;
        }
        return value;
    }
};

template <class Schedule>
struct warm_up {
    Schedule then;
    std::uint64_t steps = 1;
    double operator()(std::uint64_t step) const {
        if (steps < 1) throw_value("warm_up.steps", "at least 1", "0");
        const double value = then(step);
        return step + 1 >= steps ? value : value * static_cast<double>(step + 1) / static_cast<double>(steps);
    }
};
template <class Schedule>
warm_up(Schedule, std::uint64_t) -> warm_up<Schedule>;

// The nearest integer; halves to the even one whatever the rounding mode.
inline index_t rounded(double value) {
    if (!(value > -2147483648.5 && value < 2147483647.5)) {
        throw_value("rounded", "a value within 32 bits", std::to_string(value));
    }
    const double below = std::floor(value);
    const double rest = value - below;
    const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2.0) != 0.0);
    return static_cast<index_t>(below + (up ? 1.0 : 0.0));
}

MOE_END
