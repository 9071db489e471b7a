// examples/text: a character model with two mixture-of-experts layers learns a text
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <span>
#include <thread>

#include "report.hpp"
#include "sample.hpp"
#include "saved.hpp"
#include "support/files.hpp"
#include "support/load.hpp"
#include "support/rounded.hpp"
#include "support/stopwatch.hpp"
#include "support/weights.hpp"
#include "train.hpp"

namespace {

using text::options;

void print_task(const options& o, const std::string& file, const text::corpus& c, text::reader& r, int threads) {
    std::printf("text     %s: %zu characters to train on, %zu held out, %d classes\n", file.c_str(), c.train,
                c.held_out(), r.known.classes());
    std::printf("model    2 layers, router %s, %d experts of hidden width %d, k %d; %zu weights; sees %d characters\n",
                name_of(o.router), o.experts, o.hidden, o.k, example::parameter_count(r.predict), text::context);
    std::printf("run      seed %llu, %d threads\n", static_cast<unsigned long long>(o.seed), threads);
}

void print_progress(const text::progress& p, bool first) {
    if (first) std::printf("    step  bits/character  characters/s  max/mean load of layer 1, 2\n");
    std::printf("%8d  %14.3f  %12.0f  %22.2f %4.2f\n", p.step, p.bits, p.characters_per_s, p.max_over_mean[0],
                p.max_over_mean[1]);
    std::fflush(stdout);
}

text::progress train(const options& o, text::model& m, const text::corpus& c, moe::cpu& cpu) {
    std::printf("\ntraining; bits per character are those of the training part since the line before\n");
    bool first = true;
    return text::train(m, c, o, cpu, [&](const text::progress& p) {
        print_progress(p, first);
        first = false;
    });
}

void print_loads(const text::evaluation& held_out, const text::vocabulary& known) {
    for (std::size_t i = 0; i < text::layers; ++i) {
        std::printf("\nload of layer %zu on the held-out characters: max/mean %.2f\n", i + 1,
                    example::max_over_mean(held_out.who[i].loads()));
        std::fputs(load_table(held_out.who[i], known).c_str(), stdout);
    }
    std::printf(
        "\nfrom layer 1 to layer 2: of the pairs of an expert of layer 1, the part with each of layer 2 [%%]\n");
    std::fputs(text::affinity_table(held_out.pairs).c_str(), stdout);
}

// Of all threads since the program began; unlike the time on the wall it does not grow where others keep the machine
// busy.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::string subtitle(const options& o, const text::results& r) {
    char words[120];
    std::snprintf(words, sizeof words, "router %s, k %d, seed %llu, %.3f bits per character", name_of(o.router), o.k,
                  static_cast<unsigned long long>(o.seed), r.bits);
    return words;
}

void print_sample(const options& o, const std::string& sample) {
    if (o.sample == 0) return;
    std::printf("\nsample behind the training part, temperature %g, seed %llu\n", o.temperature,
                static_cast<unsigned long long>(o.seed));
    std::printf("----\n%s\n----\n", text::printable(sample).c_str());
}

text::reader make_reader(options& o, const std::string& characters) {
    if (!o.load.empty()) return text::load_reader(o);
    const text::vocabulary known{std::span(characters).first(text::training_size(characters.size()))};
    return {known, make_model(o, known.classes())};
}

void run(options o) {
    const example::stopwatch time;
    const std::string file = o.text.empty() ? text::default_text : o.text;
    const std::string characters = text::load_text(file);
    text::reader reader = make_reader(o, characters);
    for (example::mixture& m : reader.predict.mixtures) example::require_rounds(o.weights, m.layer);
    for (const auto& [name, path] : {std::pair("--save", o.save), {"--svg", o.svg}, {"--routes", o.routes},
                                     {"--json", o.json}}) {
        if (!path.empty()) example::check_writable(name, path);
    }
    const text::corpus corpus = classify(characters, reader.known);
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    moe::cpu cpu{{.threads = o.threads != 0 ? o.threads : static_cast<moe::index_t>(cores)}};
    print_task(o, file, corpus, reader, cpu.threads());

    text::results r;
    if (o.load.empty()) {
        const text::progress last = train(o, reader.predict, corpus, cpu);
        r.training_bits = last.bits;
        r.characters_per_s = last.characters_per_s;
    }
    if (!o.save.empty()) save_reader(o, reader);
    r.weights_hash = example::weights_hash(reader.predict);

    for (example::mixture& m : reader.predict.mixtures) m.layer = example::rounded(o.weights, m.layer);

    // The held-out characters are looked at here, once.
    r.held_out = evaluate(reader.predict, corpus, corpus.train, corpus.classes.size(), o.experts, cpu);
    r.bits = r.held_out.bits;
    if (!o.routes.empty()) {
        const std::size_t last = std::min(corpus.train + 512, corpus.classes.size());
        example::write_file("--routes", o.routes,
                            routes_text(reader.predict, corpus, corpus.train, last, o.experts, cpu));
    }
    r.counting = counted(corpus, reader.known.classes());
    if (!o.load.empty()) r.characters_per_s = r.held_out.characters_per_s;
    r.sample = sample(reader.predict, reader.known, std::span(corpus.classes).first(corpus.train),
                      {o.sample, o.temperature, o.seed}, cpu);
    print_loads(r.held_out, reader.known);
    print_sample(o, r.sample);
    if (!o.svg.empty()) {
        example::write_file("--svg", o.svg, picture(r.held_out, reader.known, subtitle(o, r)));
        std::printf("\npicture of who serves what: %s\n", o.svg.c_str());
    }
    r.seconds = time.seconds();
    r.processor_seconds = processor_seconds();
    if (!o.json.empty()) example::write_file("--json", o.json, json_text(r));

    std::printf("\nweights: %s\n", example::hash_text(r.weights_hash).c_str());
    std::printf("time: %.1f s, %.1f s of processors\n", r.seconds, r.processor_seconds);
    std::printf("held out, bits per character\n");
    std::printf("  counting single characters: %.3f\n", r.counting.unigram);
    std::printf("  counting pairs: %.3f\n", r.counting.bigram);
    std::printf("accuracy: %.2f %%\n", 100 * r.held_out.accuracy);
    std::printf("bits per character: %.3f\n", r.bits);
}

}  // namespace

int main(int argc, char** argv) {
    return example::exit_status("text", [&] {
        const options o = text::read_command_line(argc, argv);
        if (o.help)
            std::fputs(text::help_text().c_str(), stdout);
        else
            run(o);
    });
}
