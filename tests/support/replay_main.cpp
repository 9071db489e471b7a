// tests/support: runs a fuzz target without a fuzzer: on its corpus, then on changed and random inputs of a fixed seed
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using bytes = std::vector<std::uint8_t>;

std::vector<bytes> read_corpus(const char* folder) {
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(folder))
        for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<bytes> corpus;
    for (const auto& file : files) {
        std::ifstream in(file, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    return corpus;
}

bytes random_input(std::mt19937& engine) {
    bytes input(engine() % 512);
    for (auto& b : input) b = static_cast<std::uint8_t>(engine());
    return input;
}

bytes changed_input(bytes input, std::mt19937& engine) {
    const auto edits = 1 + engine() % 8;
    for (unsigned i = 0; i < edits && !input.empty(); ++i) {
        const std::size_t at = engine() % input.size();
        switch (engine() % 4) {
            case 0: input[at] = static_cast<std::uint8_t>(engine()); break;
            case 1: input[at] = static_cast<std::uint8_t>(input[at] ^ (1u << engine() % 8)); break;
            case 2: input.resize(at); break;
            default: input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(engine()));
        }
    }
    return input;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s CORPUS_FOLDER COUNT\n", argv[0]);
        return 2;
    }
    const auto corpus = read_corpus(argv[1]);
    const int count = std::atoi(argv[2]);
    for (const auto& input : corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
    LLVMFuzzerTestOneInput(nullptr, 0);
    std::mt19937 engine(1);
    for (int i = 0; i < count; ++i) {
        const bool change = !corpus.empty() && engine() % 4 != 0;
        const bytes input = change ? changed_input(corpus[engine() % corpus.size()], engine) : random_input(engine);
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::printf("%zu inputs of the corpus and %d others\n", corpus.size(), count);
    return 0;
}
