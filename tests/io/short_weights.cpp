// tests/io: banks that keep their weights in a short format are read from checkpoints without floats between
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "io/files.hpp"
#include "moe/io/bind_weights.hpp"
#include "moe/io/checkpoint_writer.hpp"
#include "moe/moe.hpp"
#include "support/catch.hpp"

namespace {

namespace io = moe::io;
using bank = moe::ffn_bank<float, moe::gated<moe::silu>, moe::bf16_weights>;

constexpr moe::index_t experts = 2, hidden = 5, features = 7;

// Gate and up [E,2H,D] in turns, down [E,D,H]: weights that bfloat16 does not hold.
void write(const std::string& folder, moe::stored_type type) {
    moe::checkpoint_writer out(folder, {{"gate_up", type, {experts, 2 * hidden, features}},
                                        {"down", type, {experts, features, hidden}}});
    const auto fill = [&](const char* name, moe::index_t rows, moe::index_t cols) {
        moe::matrix<float> m(rows, cols);
        for (std::size_t i = 0; i < m.span().size(); ++i) m.span()[i] = 1.0f / float(3 + i) - 0.1f;
        out.write(name, moe::matrix_view<const float>(m.view()));
    };
    fill("gate_up", experts * 2 * hidden, features);
    fill("down", experts * features, hidden);
    out.finish();
}

const io::layer_bindings bindings{{},
                                  {{io::expert_layout::interleaved_rows,
                                    {{.parameter = "gate", .tensor = "gate_up", .rows = io::weight_rows::even},
                                     {.parameter = "up", .tensor = "gate_up", .rows = io::weight_rows::odd},
                                     {.parameter = "down", .tensor = "down"}}}},
                                  {""},
                                  {},
                                  {}};

template <class Bank>
Bank read(const moe::checkpoint& from) {
    Bank b{{.features = features, .hidden = hidden, .experts = experts}};
    io::bind_weights(from, "", bindings, b, "bank");
    return b;
}

// Of weight k of output n of expert e of the parameter.
template <class Weights>
std::vector<std::uint16_t> codes(const Weights& w) {
    std::vector<std::uint16_t> all;
    for (moe::index_t e = 0; e < w.groups(); ++e) {
        for (moe::index_t n = 0; n < w.outputs(); ++n) {
            for (moe::index_t k = 0; k < w.inputs(); ++k) all.push_back(moe::bfloat16(w(e, n, k)).bits);
        }
    }
    return all;
}

std::vector<std::uint16_t> codes_in_file(const moe::checkpoint& from, const char* name) {
    const auto bytes = from.stored(name)->bytes;
    std::vector<std::uint16_t> all(bytes.size() / 2);
    std::memcpy(all.data(), bytes.data(), bytes.size());
    return all;
}

}  // namespace

TEST_CASE("a bfloat16 bank holds the very codes of a bfloat16 checkpoint") {
    const scratch_folder at;
    write(at.path(), moe::stored_type::bf16);
    const moe::checkpoint file(at.path());
    const bank b = read<bank>(file);
    CHECK(codes(b.down) == codes_in_file(file, "down"));
    const auto gate = codes(b.gate), up = codes(b.up), both = codes_in_file(file, "gate_up");
    for (std::size_t row = 0; row < std::size_t(experts * 2 * hidden); ++row) {
        for (std::size_t k = 0; k < std::size_t(features); ++k) {
            const auto& half = row % 2 == 0 ? gate : up;
            CHECK(half[row / 2 * std::size_t(features) + k] == both[row * std::size_t(features) + k]);
        }
    }
}

TEST_CASE("a bfloat16 bank rounds other checkpoints once, as a float bank that is rounded") {
    for (const auto type : {moe::stored_type::f32, moe::stored_type::f16, moe::stored_type::f64}) {
        const scratch_folder at;
        write(at.path(), type);
        const moe::checkpoint file(at.path());
        const bank b = read<bank>(file);
        const auto floats = read<moe::swiglu_bank<float>>(file);
        CHECK(codes(b.gate) == codes(floats.gate));
        CHECK(codes(b.up) == codes(floats.up));
        CHECK(codes(b.down) == codes(floats.down));
    }
}

namespace {

// Whether reading into the storage gives the bytes that quantising the float bank gives.
template <class Storage>
bool rounds_as_quantize_bank(const moe::checkpoint& file) {
    const auto got = read<moe::ffn_bank<float, moe::gated<moe::silu>, Storage>>(file);
    const auto wanted = moe::quantize_bank<Storage>(read<moe::swiglu_bank<float>>(file));
    const auto same = [](const auto& a, const auto& b) {
        return a.span().size_bytes() == b.span().size_bytes() &&
               std::memcmp(a.span().data(), b.span().data(), a.span().size_bytes()) == 0;
    };
    return same(got.gate, wanted.gate) && same(got.up, wanted.up) && same(got.down, wanted.down);
}

}  // namespace

TEST_CASE("a bank in codes is read from safetensors of any type as the float bank quantised: the same bytes") {
    for (const auto type : {moe::stored_type::f32, moe::stored_type::bf16, moe::stored_type::f16}) {
        const scratch_folder at;
        write(at.path(), type);
        const moe::checkpoint file(at.path());
        CHECK(rounds_as_quantize_bank<moe::int8_weights<32>>(file));
        CHECK(rounds_as_quantize_bank<moe::int8_weights<moe::whole_rows>>(file));
        CHECK(rounds_as_quantize_bank<moe::int4_weights<64>>(file));
        CHECK(rounds_as_quantize_bank<moe::int4_zero_weights<32>>(file));
        CHECK(rounds_as_quantize_bank<moe::ternary_weights<32>>(file));
        CHECK(rounds_as_quantize_bank<moe::packed_ternary_weights>(file));
    }
}

TEST_CASE("a layer read from safetensors into int8 answers as the one in floats, within the error of 8 bits") {
    const scratch_folder at;
    write(at.path(), moe::stored_type::f32);
    const moe::checkpoint file(at.path());
    const auto run = [&](auto bank) {
        moe::linear_gate<float> gate{{.features = features, .experts = experts}};
        const moe::layer layer{moe::router{std::move(gate), moe::softmax{}, moe::top_k{.k = 1}}, std::move(bank)};
        moe::matrix<float> x(9, features);
        for (std::size_t i = 0; i < x.span().size(); ++i) x.span()[i] = float(int(i * 7 % 23) - 11) / 8;
        moe::batch<float> in;
        in.x = x.view();
        moe::cpu cpu;
        return layer(cpu, in);
    };
    const moe::matrix<float> wanted = run(read<moe::swiglu_bank<float>>(file));
    const moe::matrix<float> got = run(read<moe::ffn_bank<float, moe::gated<moe::silu>, moe::int8_weights<32>>>(file));
    double error = 0, size = 0;
    for (std::size_t i = 0; i < got.span().size(); ++i) {
        error += std::pow(double(got.span()[i]) - double(wanted.span()[i]), 2);
        size += std::pow(double(wanted.span()[i]), 2);
    }
    CHECK(error > 0);
    CHECK(std::sqrt(error / size) < 0.03);
}

TEST_CASE("a bank with masters takes a checkpoint's floats, and rounds what its kernels read") {
    const scratch_folder at;
    write(at.path(), moe::stored_type::f32);
    const moe::checkpoint file(at.path());
    const auto b = read<moe::ffn_bank<float, moe::gated<moe::silu>, moe::bf16_with_masters>>(file);
    const auto floats = read<moe::swiglu_bank<float>>(file);
    for (moe::index_t n = 0; n < features; ++n) {
        for (moe::index_t k = 0; k < hidden; ++k) {
            CHECK(b.down(1, n, k) == floats.down(1, n, k));
            CHECK(float(b.down.packed()(1, n, k)) == float(moe::bfloat16(floats.down(1, n, k))));
        }
    }
}

TEST_CASE("codes of eight bits and integers are read into bfloat16 by the same rules as into floats") {
    const scratch_folder at;
    const std::string header = R"({"f":{"dtype":"F8_E5M2","shape":[1,3],"data_offsets":[0,3]},)"
                               R"("i":{"dtype":"I8","shape":[3],"data_offsets":[3,6]}})";
    const moe::safetensors_file file(at.write("a.safetensors", safetensors_bytes(header, "\x3c\x40\xc1\x01\x02\x03")));
    moe::matrix<moe::bfloat16> values(1, 3);
    file.at("f").read(values.view());
    CHECK(float(values(0, 0)) == 1.0f);
    CHECK(float(values(0, 1)) == 2.0f);
    CHECK(float(values(0, 2)) == -2.5f);
    CHECK_THAT(io_error_of([&] { file.at("i").read(values.view()); }),
               Catch::Contains("tensor 'i': wanted a type that is read into bfloat16, got I8"));
}
