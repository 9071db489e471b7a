// checkpoint: load a mixture-of-experts layer of a model on disk, run it, and show what it does
// SPDX-License-Identifier: Apache-2.0
//
//     checkpoint DIR --list
//     checkpoint DIR --layer 3 --tokens 256 --svg map.svg
//
// Files are mapped, and the weights of one layer are converted: memory is that of the layer, however large the model.
#include <sys/resource.h>

#include <cstdio>

#include "loaded.hpp"
#include "options.hpp"
#include "report.hpp"
#include "support/command_line.hpp"
#include "support/files.hpp"
#include "support/stopwatch.hpp"

namespace {

void print_list(const moe::io::checkpoint_model& model, const std::vector<listed>& layers) {
    std::printf("%s: %s, %zu layers with experts\n\n", model.folder().c_str(), model.model_type().c_str(), layers.size());
    moe::text_table table{{{.title = "layer"}, {.title = "preset", .left = true}, {.title = "tensors", .left = true}}};
    for (const listed& l : layers) table.row({l.layer, l.preset, l.prefix + "*"});
    std::fputs(table.text().c_str(), stdout);
}

moe::matrix<float> input_rows(const options& o, moe::index_t features) {
    if (o.input.empty()) {
        moe::matrix<float> x(o.tokens, features);
        const moe::random_stream random(o.seed, moe::stream_id("checkpoint.x"));
        for (moe::index_t t = 0; t < x.rows(); ++t) {
            for (moe::index_t d = 0; d < features; ++d) {
                x(t, d) = static_cast<float>(random.normal(static_cast<std::uint64_t>(t), static_cast<std::uint32_t>(d)));
            }
        }
        return x;
    }
    const moe::checkpoint file(o.input);
    const moe::checkpoint_tensor& t = file.at("x");
    moe::matrix<float> x(moe::checked_index(t.rows(), "x: rows"), features);
    t.read(x.view());
    return x;
}

// Peak memory of the process; the mapped files count where they were touched.
double peak_mib() {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    return static_cast<double>(use.ru_maxrss) / 1024.0;
}

void run_layer(const options& o, const moe::io::checkpoint_model& model, moe::index_t number, const loaded& l) {
    const moe::matrix<float> x = input_rows(o, l.layer.features());
    moe::matrix<float> y(x.rows(), l.layer.outputs());
    // For routers that ask who a token is: ids in turns, text and vision in turns.
    std::vector<moe::index_t> ids(static_cast<std::size_t>(x.rows())), labels(ids.size());
    const moe::index_t vocabulary = std::max(model.config(number).integer("vocab_size", 1), 1);
    for (std::size_t t = 0; t < ids.size(); ++t) {
        ids[t] = static_cast<moe::index_t>(t) % vocabulary;
        labels[t] = static_cast<moe::index_t>(t % 2);
    }
    moe::batch<float> in;
    in.x = x;
    in.token_id = ids;
    in.label = labels;

    moe::cpu_options backend;
    if (o.threads > 0) backend.threads = o.threads;
    moe::cpu cpu(backend);
    moe::tape<float> tape;
    l.layer.forward(cpu, in, y.view(), tape);
    const moe::load_stats stats(tape.plan(), tape.routing());
    example::stopwatch time;
    l.layer.forward(cpu, in, y.view());
    const double seconds = time.seconds();
    double square = 0;
    for (const float v : y.span()) square += static_cast<double>(v) * static_cast<double>(v);
    std::printf("run           %d tokens in %.3f ms on %d threads\n", static_cast<int>(x.rows()), 1e3 * seconds,
                static_cast<int>(cpu.threads()));
    std::printf("output        root mean square %.6g\n", std::sqrt(square / static_cast<double>(y.span().size())));
    print_loads(stats);
    if (!o.svg.empty()) {
        const std::string title = model.model_type() + ", layer " + std::to_string(number) + ": weight of the routes";
        example::write_file("--svg", o.svg, routing_map(tape.routing(), l.layer.experts(), title));
        std::printf("\nrouting map: %s\n", o.svg.c_str());
    }
    std::printf("\npeak memory   %.0f MiB\n", peak_mib());
}

void run(const options& o) {
    const moe::io::checkpoint_model model(o.folder);
    const std::vector<listed> layers = list(model);
    if (o.list) return print_list(model, layers);
    const moe::index_t number = o.layer >= 0 ? o.layer : layers.empty() ? 0 : layers.front().layer;
    if (!o.svg.empty()) example::check_writable("--svg", o.svg);
    example::stopwatch time;
    const loaded l = load(model, number, o);
    print_layer(model, number, l, time.seconds());
    run_layer(o, model, number, l);
}

}  // namespace

int main(int argc, char** argv) {
    return example::exit_status("checkpoint", [&] {
        const options o = read_options(argc, argv);
        if (o.help) {
            std::fputs(help_text().c_str(), stdout);
            return;
        }
        try {
            run(o);
        } catch (const moe::io_error& e) {  // the files are not what they must be
            throw example::usage_error(e.what());
        } catch (const moe::value_error& e) {  // nor what an option says
            throw example::usage_error(e.what());
        }
    });
}
