// tests/io: banks in codes keep the blocks of GGUF files that they can hold, and round what they cannot
// SPDX-License-Identifier: Apache-2.0
#include "io/files.hpp"
#include "io/gguf_bytes.hpp"
#include "moe/io/bind_weights.hpp"
#include "moe/moe.hpp"
#include "support/catch.hpp"

namespace {

namespace io = moe::io;
using moe::index_t;

constexpr index_t experts = 2, hidden = 32, features = 256;

// Gate and up [E,2H,D] in turns, down [E,D,H]; floats for what blocks of 256 do not divide.
const io::layer_bindings bindings{{},
                                  {{io::expert_layout::interleaved_rows,
                                    {{.parameter = "gate", .tensor = "gate_up", .rows = io::weight_rows::even},
                                     {.parameter = "up", .tensor = "gate_up", .rows = io::weight_rows::odd},
                                     {.parameter = "down", .tensor = "down"}}}},
                                  {""},
                                  {},
                                  {}};

template <class Storage>
auto read(const moe::checkpoint& from) {
    moe::swiglu_bank<float, Storage> b{{.features = features, .hidden = hidden, .experts = experts}};
    io::bind_weights(from, "", bindings, b, "bank");
    return b;
}

struct kind {
    std::uint32_t type;
    std::size_t elements, bytes;
    std::vector<std::size_t> scales;  // where float16 numbers stand in a block
};
const kind q4_0{2, 32, 18, {0}}, q4_1{3, 32, 20, {0, 2}}, q8_0{8, 32, 34, {0}}, mxfp4{39, 32, 17, {}};
const kind q4_k{12, 256, 144, {0, 2}}, q6_k{14, 256, 210, {208}};

// Random bytes, with scales from `scale(n)`, n counted over the file.
template <class Scale>
std::string file_of(const kind& k, const Scale& scale) {
    const moe::random_stream random(1, moe::stream_id("tests.blocks"));
    gguf_bytes b;
    std::uint64_t n = 0;
    const auto add = [&](const char* name, index_t cols, index_t rows) {
        b.tensor(name, {std::uint64_t(cols), std::uint64_t(rows), experts}, k.type, b.data.size());
        for (std::size_t i = 0; i < std::size_t(cols * rows * experts) / k.elements; ++i, ++n) {
            std::string block;
            for (std::size_t j = 0; j < k.bytes; ++j) {
                block += static_cast<char>(random.words(n, std::uint32_t(j))[0] >> 13);
            }
            for (const std::size_t at : k.scales) block.replace(at, 2, gguf_bytes::number(moe::to_f16(scale(n))));
            if (k.type == mxfp4.type) block[0] = static_cast<char>(120 + n % 9);
            b.data += block;
        }
    };
    add("gate_up", features, 2 * hidden);
    if (k.elements == 32) {
        add("down", hidden, features);
    } else {
        b.floats("down", {hidden, features, experts}, std::vector<float>(std::size_t(hidden * features * experts), 1));
    }
    return b.bytes();
}

template <class Bank>
std::vector<float> weights(const Bank& bank, bool down) {
    std::vector<float> all;
    for (const auto* w : {&bank.gate, &bank.up, &bank.down}) {
        if (w == &bank.down && !down) continue;
        for (index_t e = 0; e < w->groups(); ++e) {
            for (index_t n = 0; n < w->outputs(); ++n) {
                for (index_t k = 0; k < w->inputs(); ++k) all.push_back((*w)(e, n, k));
            }
        }
    }
    return all;
}

// Of all scales there are.
float any_scale(std::uint64_t n) {
    constexpr float odd[] = {0.0f, -0.0f, 5.9604645e-8f, 65504.0f, std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN()};
    if (n % 16 < 6) return odd[n % 16];
    return (n % 2 == 0 ? -1.0f : 1.0f) * float(n % 97 + 1) / 1024;
}

template <class Storage>
void check_kept(const kind& k) {
    INFO("type " << k.type);
    const scratch_folder at;
    const moe::checkpoint file(at.write("m.gguf", file_of(k, any_scale)));
    const auto got = weights(read<Storage>(file), true), wanted = weights(read<moe::same_scalar>(file), true);
    REQUIRE(got.size() == 3 * std::size_t(experts * hidden * features));
    for (std::size_t i = 0; i < got.size(); ++i) {
        if (std::isnan(got[i]) && std::isnan(wanted[i])) continue;
        if (std::memcmp(&got[i], &wanted[i], sizeof(float)) != 0) FAIL(i << ": " << got[i] << ", wanted " << wanted[i]);
    }
}

// Root of the mean square of what rounding changed, by that of the file's weights.
template <class Storage>
double rounding(const kind& k) {
    const scratch_folder at;
    const auto even = [](std::uint64_t n) { return float(n % 7 + 10) / 1024; };
    const moe::checkpoint file(at.write("m.gguf", file_of(k, even)));
    const auto got = weights(read<Storage>(file), false), wanted = weights(read<moe::same_scalar>(file), false);
    double error = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        error += (double(got[i]) - double(wanted[i])) * (double(got[i]) - double(wanted[i]));
        size += double(wanted[i]) * double(wanted[i]);
    }
    return std::sqrt(error / size);
}

}  // namespace

TEST_CASE("blocks of Q8_0, Q4_0 and MXFP4 stay as they are in codes that hold them: the same weights, bit for bit") {
    check_kept<moe::int8_weights<32>>(q8_0);
    check_kept<moe::int8_weights<32>>(q4_0);
    check_kept<moe::int8_weights<32>>(mxfp4);
    check_kept<moe::int4_weights<32>>(q4_0);
    check_kept<moe::int4_zero_weights<32>>(q4_0);
}

TEST_CASE("other blocks are rounded to the nearest codes, with the errors that docs/checkpoints.md states") {
    const auto check = [](double error, double stated) {
        CHECK(error <= stated);
        CHECK(error > 0.8 * stated);
    };
    check(rounding<moe::int8_weights<64>>(q8_0), 0.004);
    check(rounding<moe::int8_weights<32>>(q4_1), 0.004);
    check(rounding<moe::int4_zero_weights<32>>(q4_1), 0.032);
    check(rounding<moe::int8_weights<32>>(q4_k), 0.004);
    check(rounding<moe::int4_zero_weights<32>>(q4_k), 0.036);
    check(rounding<moe::int8_weights<32>>(q6_k), 0.005);
}

TEST_CASE("a bank in codes rounds a float checkpoint as its own assign does, an expert at a time") {
    const scratch_folder at;
    gguf_bytes b;
    const auto add = [&](const char* name, index_t cols, index_t rows) {
        std::vector<float> v(std::size_t(cols * rows * experts));
        for (std::size_t i = 0; i < v.size(); ++i) v[i] = 1.0f / float(3 + i % 1000) - 0.1f;
        b.floats(name, {std::uint64_t(cols), std::uint64_t(rows), experts}, v);
    };
    add("gate_up", features, 2 * hidden);
    add("down", hidden, features);
    const moe::checkpoint file(at.write("m.gguf", b.bytes()));
    const auto got = read<moe::int4_weights<64>>(file);
    const auto floats = read<moe::same_scalar>(file);
    auto wanted = got;
    for (const auto w : {0, 1, 2}) {
        const auto& from = w == 0 ? floats.gate : w == 1 ? floats.up : floats.down;
        auto& to = w == 0 ? wanted.gate : w == 1 ? wanted.up : wanted.down;
        moe::matrix<float> m(from.outputs(), from.inputs());
        for (index_t e = 0; e < experts; ++e) {
            from.read(e, m.view());
            to.assign(e, m.view());
        }
    }
    CHECK(weights(got, true) == weights(wanted, true));
}
