// tests/packaging: checkpoints through moe::io, which brings a JSON library and nothing else
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "moe/core/storage.hpp"
#include "moe/io.hpp"

namespace {

int run(const std::string& path) {
    moe::matrix<float> w(2, 3);
    w(1, 2) = 4.5f;
    moe::safetensors_writer out(path, {{"w", moe::stored_type::bf16, {2, 3}}});
    out.write("w", w.view());
    out.finish();
    const moe::checkpoint model(path);
    moe::matrix<double> read(2, 3);
    model.read("w", read.view());
    std::printf("%s %s %.2f\n", model.tensors()[0].name.c_str(), moe::detail::shape_text(model.at("w").shape).c_str(),
                read(1, 2));
    return read(1, 2) == 4.5 && read(0, 0) == 0.0 ? 0 : 1;
}

}  // namespace

int main(int, char** arguments) {
    const std::string path = std::string(arguments[0]) + ".safetensors";
    try {
        const int status = run(path);
        std::remove(path.c_str());
        return status;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
