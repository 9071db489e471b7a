// bench/support: the main function of all benchmark programs
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "support/machine.hpp"
#include "support/options.hpp"

namespace {

// The value behind `name=` if the word is that option.
const char* value_of(const char* word, const char* name) {
    const std::size_t n = std::strlen(name);
    return std::strncmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1 : nullptr;
}

std::vector<moe::index_t> numbers(const char* text) {
    std::vector<moe::index_t> list;
    std::istringstream in(text);
    for (std::string word; std::getline(in, word, ',');) list.push_back(std::max(1, std::atoi(word.c_str())));
    return list;
}

// Without what Google Benchmark adds to the names: every run is one iteration with a time of its own.
template <class Reporter>
class plain_names : public Reporter {
public:
    using Reporter::Reporter;
    void ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run>& runs) override {
        std::vector<benchmark::BenchmarkReporter::Run> plain = runs;
        for (auto& run : plain) {
            run.run_name.iterations.clear();
            run.run_name.time_type.clear();
        }
        Reporter::ReportRuns(plain);
    }
};

// Takes what is ours out of the command line; what is left belongs to Google Benchmark.
void read_options(int& argc, char** argv) {
    bench::run_options& o = bench::options();
    int left = 1;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--tiny") == 0) o.tiny = true;
        else if (const char* runs = value_of(argv[i], "--runs")) o.runs = std::max(1, std::atoi(runs));
        else if (const char* threads = value_of(argv[i], "--threads")) o.threads = numbers(threads);
        else if (const char* trace = value_of(argv[i], "--trace")) o.trace = trace;
        else if (const char* results = value_of(argv[i], "--results")) o.results = results;
        else argv[left++] = argv[i];
    }
    argc = left;
    if (o.tiny) o.runs = 1;
}

}  // namespace

int main(int argc, char** argv) {
    read_options(argc, argv);
    const auto names_file = [](const char* word) { return value_of(word, "--benchmark_out") != nullptr; };
    const bool to_file = std::any_of(argv, argv + argc, names_file);
    benchmark::AddCustomContext("processor", bench::processor_name());
    benchmark::AddCustomContext("vectors", MOE_STRING(MOE_ISA));
    benchmark::AddCustomContext("compiler", bench::compiler_name());
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    bench::register_benchmarks();
    plain_names<benchmark::ConsoleReporter> table(benchmark::ConsoleReporter::OO_None);
    plain_names<benchmark::JSONReporter> file;
    benchmark::RunSpecifiedBenchmarks(&table, to_file ? &file : nullptr);
    return bench::options().failed ? 1 : 0;
}
