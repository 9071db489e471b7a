// tests/golden: the reader of golden files refuses what is malformed, and reads every committed case
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "golden.hpp"
#include "io/files.hpp"
#include "support/catch.hpp"

namespace {

const std::string data = MOE_TEST_SOURCE_DIR "/tests/golden";

/// -1.0f in `one/a` and the integer -1 in `one/b` [1,1].
std::string small_file(const std::string& metadata, const std::string& type = "I32") {
    const std::string a = R"("one/a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
    const std::string b = R"("one/b":{"dtype":")" + type + R"(","shape":[1,1],"data_offsets":[4,8]})";
    return safetensors_bytes(R"({"__metadata__":{)" + metadata + "}," + a + "," + b + "}",
                             bytes_of({-1.0f}) + bytes_of<std::int32_t>({-1}));
}

const std::string described =
    R"("golden":"{\"one\": {\"seed\": \"3\", \"shared\": \"sigmoid gate\"}}")";

}  // namespace

TEST_CASE("the golden reader returns values, dimensions and options as they were written") {
    const scratch_folder folder;
    folder.write("any.safetensors", small_file(described));
    const golden::file g(folder.path(), "one");
    CHECK(g["a"].values == std::vector<double>{-1.0});
    CHECK(g["b"].values == std::vector<double>{-1.0});
    CHECK(g["b"].dims == std::vector<std::size_t>{1, 1});
    CHECK(g.fact("shared") == "sigmoid gate");
    CHECK(g.number("seed") == 3.0);
    CHECK_THROWS_AS(g["c"], std::runtime_error);
    CHECK_THROWS_AS(g.fact("c"), std::runtime_error);
    CHECK_THROWS_AS(golden::file(folder.path(), "two"), std::runtime_error);
}

TEST_CASE("the golden reader throws on a malformed file") {
    const auto refuses = [](const std::string& content, const std::string& sentence, const std::string& second = "") {
        const scratch_folder folder;
        folder.write("a.safetensors", content);
        if (!second.empty()) folder.write("b.safetensors", second);
        CHECK_THROWS_WITH(golden::file(folder.path(), "one"), Catch::Contains(sentence));
    };
    const std::string good = small_file(described);
    refuses(small_file(R"("format":"pt")"), "has no metadata 'golden'");
    refuses(small_file(R"("golden":"{")"), "wanted JSON");
    refuses(small_file(R"("golden":"{\"two\": {}}")"), "is of no case");
    refuses(good, "case one again", good);
    refuses(small_file(described, "U32"), "wanted F32, F64 or I32");
    refuses(good.substr(0, good.size() - 1), "a.safetensors");
}

TEST_CASE(
    "every committed golden is whole: finite values, distinct experts, a gradient of the shape of what it belongs to") {
    for (const auto& [name, path] : golden::places(data)) {
        const golden::file g(data, name);
        INFO(name);
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
    CHECK(golden::places(data).size() >= 76);
}

TEST_CASE("the goldens of all architectures together are below 4 MiB") {
    std::set<std::string> files;
    for (const auto& [name, path] : golden::places(data)) files.insert(path);
    std::uintmax_t total = 0;
    for (const auto& path : files) total += std::filesystem::file_size(path);
    CHECK(files.size() >= 47);
    CHECK(total < 4u << 20);
}
