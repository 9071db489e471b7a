// tests/golden: the reader of golden files refuses what is malformed, and reads every committed case
// SPDX-License-Identifier: Apache-2.0
#include "golden.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

#include "support/catch.hpp"

namespace {

const std::string data = MOE_TEST_SOURCE_DIR "/tests/golden/data";

/// A golden file pair in the working directory, gone at the end of the scope.
struct written {
    written(const std::string& index, const std::string& bytes) {
        std::ofstream("golden_reader_test.txt") << index;
        std::ofstream("golden_reader_test.bin", std::ios::binary) << bytes;
    }
    ~written() {
        std::remove("golden_reader_test.txt");
        std::remove("golden_reader_test.bin");
    }
    written(const written&) = delete;
    written& operator=(const written&) = delete;

    golden::file read() const { return {".", "golden_reader_test"}; }
};

const std::string head = "moe-golden 1\ncase golden_reader_test\nseed 3\noption shared sigmoid gate\n";
const std::string eight("\x00\x00\x80\xbf\xff\xff\xff\xff", 8);  // -1.0f, then int32 -1

}  // namespace

TEST_CASE("the golden reader returns values, dimensions and options as they were written") {
    const written pair(head + "tensor a f32 0 1 1\ntensor b i32 4 2 1 1\nend 8\n", eight);
    const auto g = pair.read();
    CHECK(g["a"].values == std::vector<double>{-1.0});
    CHECK(g["b"].values == std::vector<double>{-1.0});
    CHECK(g["b"].dims == std::vector<std::size_t>{1, 1});
    CHECK(g.fact("shared") == "sigmoid gate");
    CHECK(g.number("seed") == 3.0);
    CHECK_THROWS_AS(g["c"], std::runtime_error);
    CHECK_THROWS_AS(g.fact("c"), std::runtime_error);
}

TEST_CASE("the golden reader throws on a malformed file") {
    const auto refuses = [](const std::string& index, const std::string& bytes) {
        const written pair(index, bytes);
        CHECK_THROWS_AS(pair.read(), std::runtime_error);
    };
    refuses("moe-golden 2\ncase golden_reader_test\nend 0\n", "");
    refuses("moe-golden 1\ncase another\nend 0\n", "");
    refuses(head + "tensor a f32 0 1 2\n", eight);                             // no end
    refuses(head + "tensor a f32 0 1 2\nend 9\n", eight);                      // another length of .bin
    refuses(head + "tensor a f32 0 1 3\nend 8\n", eight);                      // reaches past the .bin
    refuses(head + "tensor a f32 12 1 1\nend 8\n", eight);                     // starts past the .bin
    refuses(head + "tensor a f16 0 1 2\nend 8\n", eight);                      // unknown type
    refuses(head + "tensor a f32 0 2 2\nend 8\n", eight);                      // a dimension is missing
    refuses(head + "tensor a f32 0 1 1\ntensor a f32 4 1 1\nend 8\n", eight);  // twice
    CHECK_THROWS_AS(golden::file(data, "no_such_case"), std::runtime_error);
}

TEST_CASE(
    "every committed golden is whole: finite values, distinct experts, a gradient of the shape of what it belongs to") {
    std::size_t cases = 0;
    for (const auto& entry : std::filesystem::directory_iterator(data)) {
        if (entry.path().extension() != ".txt") {
            continue;
        }
        ++cases;
        const golden::file g(data, entry.path().stem().string());
        INFO(entry.path().stem().string());
        for (const auto& [key, t] : g.tensors()) {
            INFO(key);
            CHECK(std::all_of(t.values.begin(), t.values.end(), [](double v) { return std::isfinite(v); }));
            if (key.rfind("d_", 0) == 0) {
                CHECK(g[key.substr(2)].dims == t.dims);
            }
        }
        if (!g.has("expert")) {
            CHECK(g["loss"].values.size() == 1);
            continue;
        }
        CHECK(g["dy"].dims == g["y"].dims);
        CHECK(g["expert"].dims == g["weight"].dims);
        const std::size_t k = g["expert"].columns();
        for (auto id = g["expert"].values.begin(); id != g["expert"].values.end(); id += static_cast<long>(k)) {
            const auto dropped = std::count(id, id + static_cast<long>(k), -1.0);
            CHECK(std::set<double>(id, id + static_cast<long>(k)).size() + static_cast<std::size_t>(dropped) ==
                  k + (dropped > 0 ? 1 : 0));
        }
    }
    CHECK(cases >= 60);
}
