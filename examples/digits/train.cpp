// SPDX-License-Identifier: Apache-2.0
#include "train.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "moe/train/adamw.hpp"
#include "moe/train/gradient.hpp"
#include "support/cross_entropy.hpp"
#include "support/load.hpp"
#include "support/stopwatch.hpp"

namespace digits {

namespace {

constexpr std::size_t batch_images = 32;
constexpr double peak_rate = 6e-3, warm_up = 0.05, weight_decay = 0.05, smoothing = 0.1;

// Up in a line, down in a cosine.
double learning_rate(double step, double steps) {
    const double up = std::min(1.0, (step + 1) / (warm_up * steps));
    return peak_rate * up * 0.5 * (1 + std::cos(3.141592653589793 * step / steps));
}

// One model in training, with what it needs from step to step.
class trainer {
public:
    trainer(classifier& model, const std::vector<image>& images, const options& chosen, moe::cpu& cpu)
        : model_(model),
          images_(images),
          chosen_(chosen),
          cpu_(cpu),
          gradient_(model.make_gradient()),
          optimizer_({.beta2 = 0.99, .weight_decay = weight_decay}) {}

    // One pass over `order`. `steps` are those of the whole training.
    progress epoch(int number, const std::vector<int>& order, double steps) {
        const example::stopwatch time;
        std::vector<double> count(static_cast<std::size_t>(std::min(chosen_.experts, model_.ffn.experts())));
        progress p{number, 0, 0, 0, 0};
        for (std::size_t first = 0; first < order.size(); first += batch_images) {
            const std::size_t size = std::min(batch_images, order.size() - first);
            const example::score s = step(number, std::span(order).subspan(first, size), steps, count);
            p.loss += s.loss;
            p.accuracy += s.hits;
        }
        const double all = static_cast<double>(order.size());
        p.loss /= all;
        p.accuracy /= all;
        p.tokens_per_s = all / time.seconds();
        p.max_over_mean = example::max_over_mean(count);
        return p;
    }

private:
    example::score step(int epoch, std::span<const int> numbers, double steps, std::vector<double>& count) {
        const auto size = static_cast<moe::index_t>(numbers.size());
        auto& [x, w] = memory(size);
        labels_.clear();
        for (moe::index_t t = 0; t < size; ++t) {
            const int n = numbers[static_cast<std::size_t>(t)];
            const image& from = images_[static_cast<std::size_t>(n)];
            distorted_features(from, chosen_.seed, epoch, n, x.view()[t]);
            labels_.push_back(from.label);
        }
        model_.forward(cpu_, x, w);
        example::score s = example::cross_entropy<float>(w.logits, labels_, smoothing, w.d_logits);
        if (model_.balance_loss) s.loss += size * model_.balance_loss(cpu_, w.tape);
        example::add_load(count, w.tape.plan());
        if (model_.after_step) model_.after_step(cpu_, model_.ffn, w.tape);
        moe::zero_gradient(model_, gradient_);
        model_.backward(cpu_, x, w, gradient_);
        optimizer_.options.learning_rate = learning_rate(done_++, steps);
        optimizer_.step(cpu_, model_, gradient_);
        return s;
    }

    struct batch_memory {
        moe::matrix<float> x;
        workspace w;
        explicit batch_memory(moe::index_t size) : x(size, pixels), w(size) {}
    };

    // The last batch of an epoch may be smaller than the others.
    batch_memory& memory(moe::index_t size) {
        std::optional<batch_memory>& m = size == static_cast<moe::index_t>(batch_images) ? full_ : rest_;
        if (!m) m.emplace(size);
        return *m;
    }

    classifier& model_;
    const std::vector<image>& images_;
    const options& chosen_;
    moe::cpu& cpu_;
    classifier_gradient gradient_;
    moe::adamw optimizer_;
    std::optional<batch_memory> full_, rest_;
    std::vector<int> labels_;
    double done_ = 0;
};

}  // namespace

double train(classifier& model, const std::vector<image>& images, const std::vector<int>& numbers,
             const options& chosen, moe::cpu& cpu, const std::function<void(const progress&)>& show) {
    const example::stopwatch time;
    const std::size_t batches = (numbers.size() + batch_images - 1) / batch_images;
    trainer t(model, images, chosen, cpu);
    for (int e = 1; e <= chosen.epochs; ++e) {
        show(t.epoch(e, shuffled(numbers, chosen.seed, e), static_cast<double>(batches) * chosen.epochs));
    }
    return static_cast<double>(numbers.size()) * chosen.epochs / time.seconds();
}

evaluation evaluate(const classifier& model, const std::vector<image>& images, const std::vector<int>& numbers,
                    int experts, moe::cpu& cpu) {
    const auto size = static_cast<moe::index_t>(numbers.size());
    moe::matrix<float> x(size, pixels);
    std::vector<int> labels;
    for (moe::index_t t = 0; t < size; ++t) {
        const image& from = images[static_cast<std::size_t>(numbers[static_cast<std::size_t>(t)])];
        plain_features(from, x.view()[t]);
        labels.push_back(from.label);
    }
    workspace w(size);
    const example::stopwatch time;
    model.forward(cpu, x, w);
    evaluation out;
    out.tokens_per_s = size / time.seconds();
    const example::score s = example::cross_entropy<float>(w.logits, labels, 0, {});
    out.accuracy = static_cast<double>(s.hits) / size;
    out.loss = s.loss / size;

    const moe::plan_view& plan = w.tape.plan();
    out.who.reached.resize(static_cast<std::size_t>(std::min(experts, plan.experts())));
    for (const int label : labels) ++out.who.images[static_cast<std::size_t>(label)];
    for (std::size_t e = 0; e < out.who.reached.size(); ++e) {
        const auto id = static_cast<moe::index_t>(e);
        for (moe::index_t r = plan.begin(id); r < plan.end(id); ++r) {
            const auto token = static_cast<std::size_t>(plan.token[static_cast<std::size_t>(r)]);
            ++out.who.reached[e][static_cast<std::size_t>(labels[token])];
        }
    }
    return out;
}

}  // namespace digits
