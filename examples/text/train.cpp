// SPDX-License-Identifier: Apache-2.0
#include "train.hpp"

#include <algorithm>
#include <cmath>

#include "moe/train/adamw.hpp"
#include "moe/train/gradient.hpp"
#include "moe/train/schedule.hpp"
#include "support/cross_entropy.hpp"
#include "support/load.hpp"
#include "support/stopwatch.hpp"

namespace text {

namespace {

constexpr std::size_t sequences = 8, most_length = 128;
// These were chosen by cross-validation within the training part.
constexpr double peak_rate = 4e-3, weight_decay = 1.0, largest_gradient = 1.0;
constexpr double smoothing = 0.1;  // part of a target that is spread over all classes
constexpr double blanks = 0.1;     // part of the characters that are read as unknown

moe::warm_up<moe::cosine_schedule> learning_rate(int steps) {
    return {{.from = peak_rate, .to = 0, .steps = static_cast<std::uint64_t>(steps)},
            static_cast<std::uint64_t>(std::max(1, steps / 20))};
}

class trainer {
public:
    trainer(model& m, const corpus& text, const options& chosen, moe::cpu& cpu)
        : model_(m),
          text_(text),
          seed_(chosen.seed),
          cpu_(cpu),
          length_(std::min(most_length, text.train - 1)),
          read_(sequences * length_),
          wanted_(sequences * length_),
          work_(static_cast<moe::index_t>(sequences * length_), m.head.bias.cols()),
          gradient_(m.make_gradient()),
          optimizer_({.beta2 = 0.99, .weight_decay = weight_decay}),
          rate_(learning_rate(chosen.steps)) {
        for (std::size_t s = 0; s <= sequences; ++s) begin_.push_back(static_cast<moe::index_t>(s * length_));
        for (auto& count : load_) count.resize(static_cast<std::size_t>(chosen.experts));
    }

    void step(std::uint64_t number) {
        draw(number);
        const characters in{read_, begin_, {}, true, seed_, number};
        model_.forward(cpu_, in, work_);
        bits_ +=
            example::cross_entropy<float>(work_.logits, wanted_, smoothing, work_.d_logits).surprise / std::log(2.0);
        seen_ += static_cast<double>(read_.size());
        for (std::size_t i = 0; i < layers; ++i) balance(i);
        moe::zero_gradient(model_, gradient_);
        model_.backward(cpu_, in, work_, gradient_);
        moe::clip_gradient_norm(model_, gradient_, largest_gradient);
        optimizer_.options.learning_rate = rate_(number);
        optimizer_.step(cpu_, model_, gradient_);
    }

    // Of the steps since the last report.
    progress report(int step) {
        progress p{step, bits_ / seen_, seen_ / time_.seconds(), {}};
        for (std::size_t i = 0; i < layers; ++i) {
            p.max_over_mean[i] = example::max_over_mean(load_[i]);
            std::fill(load_[i].begin(), load_[i].end(), 0.0);
        }
        bits_ = seen_ = 0;
        time_ = {};
        return p;
    }

    double characters_per_step() const { return static_cast<double>(read_.size()); }

private:
    void draw(std::uint64_t step) {
        const moe::random_stream start(seed_, moe::stream_id("text.start"), step);
        const moe::random_stream blank(seed_, moe::stream_id("text.blank"), step);
        const int unknown = static_cast<int>(model_.head.bias.cols()) - 1;
        const auto starts = static_cast<double>(text_.train - length_);
        for (std::size_t s = 0; s < sequences; ++s) {
            const auto first = static_cast<std::size_t>(starts * start.uniform(s, 0));
            for (std::size_t i = 0; i < length_; ++i) {
                const std::size_t t = s * length_ + i;
                read_[t] = blank.uniform(t, 0) < blanks ? unknown : text_.classes[first + i];
                wanted_[t] = text_.classes[first + i + 1];
            }
        }
    }

    void balance(std::size_t layer) {
        example::mixture& m = model_.mixtures[layer];
        moe::tape<float>& tape = work_.tape[layer];
        example::add_load(load_[layer], tape.plan());
        if (m.balance_loss) m.balance_loss(cpu_, tape);
        if (m.after_step) m.after_step(cpu_, m.layer, tape);
    }

    model& model_;
    const corpus& text_;
    std::uint64_t seed_;
    moe::cpu& cpu_;
    std::size_t length_;
    std::vector<int> read_, wanted_;
    std::vector<moe::index_t> begin_;
    workspace work_;
    model_gradient gradient_;
    moe::adamw optimizer_;
    moe::warm_up<moe::cosine_schedule> rate_;
    std::array<std::vector<double>, layers> load_;
    double bits_ = 0, seen_ = 0;
    example::stopwatch time_;
};

}  // namespace

progress train(model& m, const corpus& text, const options& chosen, moe::cpu& cpu,
               const std::function<void(const progress&)>& show) {
    trainer t(m, text, chosen, cpu);
    const example::stopwatch time;
    const int every = (chosen.steps + 19) / 20;
    progress last;
    for (int s = 1; s <= chosen.steps; ++s) {
        t.step(static_cast<std::uint64_t>(s - 1));
        if (s % every != 0 && s != chosen.steps) continue;
        last = t.report(s);
        show(last);
    }
    last.characters_per_s = chosen.steps * t.characters_per_step() / time.seconds();
    return last;
}

}  // namespace text
