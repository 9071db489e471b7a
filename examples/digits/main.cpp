// examples/digits: a mixture of experts learns handwritten digits, and a dense model beside it
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <thread>

#include "report.hpp"
#include "saved.hpp"
#include "support/files.hpp"
#include "support/rounded.hpp"
#include "support/stopwatch.hpp"
#include "support/weights.hpp"
#include "train.hpp"

namespace {

using digits::options;

void print_task(const options& o, const digits::split& parts, digits::both_models& models, int threads) {
    std::printf("images   %zu to train on, %zu held out, seed %llu\n", parts.train.size(), parts.held_out.size(),
                static_cast<unsigned long long>(o.seed));
    std::printf("mixture  router %s, %d experts of hidden width %d, k %d, %d shared; %zu weights\n", name_of(o.router),
                o.experts, o.hidden, o.k, o.shared, example::parameter_count(models.mixture));
    std::printf("dense    one expert of hidden width %d, as many as k and shared ones have; %zu weights\n",
                (o.k + o.shared) * o.hidden, example::parameter_count(models.dense));
    std::printf("threads  %d\n", threads);
}

// A line every few epochs, so that a run has about twenty.
void print_progress(const digits::progress& p, int epochs) {
    const int every = (epochs + 19) / 20;
    if (p.epoch == 1) std::printf("epoch    loss  training accuracy  tokens/s  max/mean load\n");
    if (p.epoch != 1 && p.epoch != epochs && p.epoch % every != 0) return;
    std::printf("%5d  %6.4f  %15.2f %%  %8.0f  %13.2f\n", p.epoch, p.loss, 100 * p.accuracy, p.tokens_per_s,
                p.max_over_mean);
    std::fflush(stdout);
}

// Images per second while the mixture was trained.
double train_both(const options& o, digits::both_models& models, const std::vector<digits::image>& images,
                  const std::vector<int>& numbers, moe::cpu& cpu) {
    const auto show = [&](const digits::progress& p) { print_progress(p, o.epochs); };
    std::printf("\ntraining the mixture; loss and accuracy are those of the distorted images as they come\n");
    const double speed = digits::train(models.mixture, images, numbers, o, cpu, show);
    std::printf("\ntraining the dense model in the same way\n");
    digits::train(models.dense, images, numbers, o, cpu, show);
    return speed;
}

void print_load(const options& o, const digits::service& who) {
    std::printf("\nload of the experts on the held-out images: max/mean %.2f, %.2f experts per image\n",
                who.max_over_mean(), who.experts_per_image());
    if (o.router == digits::router_kind::expert_choice) {
        std::printf("(expert choice: the images of a batch compete; these were one batch)\n");
    }
    std::fputs(digits::load_table(who).c_str(), stdout);
}

std::string subtitle(const options& o, std::size_t images, double accuracy) {
    char text[160];
    std::snprintf(text, sizeof text, "%zu held-out images, router %s, k %d, seed %llu, accuracy %.2f %%", images,
                  name_of(o.router), o.k, static_cast<unsigned long long>(o.seed), 100 * accuracy);
    return text;
}

void run(options o) {
    const example::stopwatch time;
    const bool loads = !o.load.empty();
    const auto images = digits::load_images(o.data.empty() ? MOE_EXAMPLE_DIR "/digits.csv" : o.data);
    digits::both_models models = loads ? digits::load_models(o) : digits::make_models(o);
    example::require_rounds(o.weights, models.mixture.ffn);
    for (const auto& [name, file] : {std::pair("--save", o.save), {"--svg", o.svg}, {"--json", o.json}}) {
        if (!file.empty()) example::check_writable(name, file);
    }
    const digits::split parts = digits::split_by_class(images, o.seed);
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    moe::cpu cpu{{.threads = o.threads != 0 ? o.threads : static_cast<moe::index_t>(cores)}};
    print_task(o, parts, models, cpu.threads());

    digits::results r;
    if (!loads) r.tokens_per_s = train_both(o, models, images, parts.train, cpu);
    if (!o.save.empty()) digits::save_models(o, models);
    r.loss = digits::evaluate(models.mixture, images, parts.train, o.experts, cpu).loss;
    r.weights_hash = example::weights_hash(models.mixture);

    models.mixture.ffn = example::rounded(o.weights, models.mixture.ffn);

    // The held-out images are looked at here, once.
    const digits::evaluation held_out = digits::evaluate(models.mixture, images, parts.held_out, o.experts, cpu);
    r.accuracy = held_out.accuracy;
    r.dense_accuracy = digits::evaluate(models.dense, images, parts.held_out, 1, cpu).accuracy;
    if (loads) r.tokens_per_s = held_out.tokens_per_s;
    for (std::size_t e = 0; e < held_out.who.reached.size(); ++e) r.load.push_back(held_out.who.load(e));
    print_load(o, held_out.who);
    if (!o.svg.empty()) {
        example::write_file("--svg", o.svg, picture(held_out.who, subtitle(o, parts.held_out.size(), r.accuracy)));
        std::printf("\npicture of who serves what: %s\n", o.svg.c_str());
    }
    r.seconds = time.seconds();
    if (!o.json.empty()) example::write_file("--json", o.json, digits::json_text(r));

    std::printf("\nloss on the training images: %.4f\n", r.loss);
    std::printf("weights: %s\n", example::hash_text(r.weights_hash).c_str());
    std::printf("time: %.1f s\n", r.seconds);
    std::printf("dense accuracy: %.2f %%\n", 100 * r.dense_accuracy);
    std::printf("accuracy: %.2f %%\n", 100 * r.accuracy);
}

}  // namespace

int main(int argc, char** argv) {
    return example::exit_status("digits", [&] {
        const options o = digits::read_command_line(argc, argv);
        if (o.help)
            std::fputs(digits::help_text().c_str(), stdout);
        else
            run(o);
    });
}
