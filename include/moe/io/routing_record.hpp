// io: which experts the tokens of a call went to, to a file and back
// SPDX-License-Identifier: Apache-2.0
//
//     moe::routing_record(tape.routing().selected, experts).save("layer_3.routes");
//     const auto record = moe::routing_record::load("layer_3.routes");
//     record.replay_in(batch, experts, k);  // views into record, which must outlive the call
//
// Replay takes the experts alone: weights are gathered from the live scores, and gradients flow as ever. Recorded
// weights are there to be looked at, for instance to compare two programs. From routes a record is slot for slot, from
// a plan the live routes of every token by ascending expert; plan/replay.hpp says what that means for a replay.
//
//     8 bytes    "moer\r\n\x1a\n"      4 bytes    format version, 1      4 bytes    1 if weights are there, else 0
//     4 bytes    T tokens              4 bytes    E experts              4 bytes    S slots
//     4 bytes    K slots of every token; 2^32 - 1: ragged, and the slots of each token follow, T times 4 bytes
//     S ids      of 1 byte if E < 256, 2 bytes if E < 65536, else 4; all ones: an empty slot
//     S weights  of 4 bytes, float32; only if they are there
//     8 bytes    FNV-1a of everything before it
//
// All numbers are little-endian.
//
// errors        io_error naming file, wanted and got: unreadable, truncated, damaged, an expert that is not one of E or
//               comes twice for a token. shape_error where T, E or K of a replay are not those of the record
#pragma once

#include <algorithm>

#include "moe/io/byte_file.hpp"
#include "moe/plan/replay.hpp"

MOE_BEGIN

class routing_record {
public:
    // Instead of K: a token has as many slots as its selector, or the plan, gave it.
    static constexpr index_t ragged = -1;

    routing_record() = default;

    template <class T>
    routing_record(const routes<T>& r, index_t experts, bool with_weights = false)
        : choice_(r), experts_(experts), k_(r.per_token > 0 ? r.per_token : ragged) {
        if (with_weights) {
            for (const T w : r.weight) weight_.push_back(static_cast<float>(w));
        }
    }
    explicit routing_record(const plan_view& p) : choice_(p), experts_(p.experts()) {}

    index_t tokens() const { return choice_.tokens(); }
    index_t experts() const { return experts_; }
    index_t k() const { return k_; }  // slots of every token, or ragged
    const recorded_choice& choice() const { return choice_; }
    std::span<const float> weight() const { return weight_; }  // [slots], or empty

    // `experts` and `k` are those of the router that will run, k = `ragged` where its rule sets no number. A record
    // with a K of its own fits that K; a ragged one fits every router that gives a token at least as many slots.
    template <class T>
    void replay_in(batch<T>& in, index_t experts, index_t k) const {
        const auto require = [](bool fits, const std::string& what, index_t wanted, index_t got) {
            if (!fits) throw_shape("routing record: " + what, std::to_string(wanted), std::to_string(got));
        };
        require(in.tokens() == tokens(), "tokens", in.tokens(), tokens());
        require(experts == experts_, "experts", experts, experts_);
        require(k == ragged || k_ == ragged || k == k_, "slots per token", k, k_);
        const auto offset = choice_.offset();
        for (std::size_t t = 0; k != ragged && t + 1 < offset.size(); ++t) {
            const index_t slots = offset[t + 1] - offset[t];
            require(slots <= k, std::string("at most this many slots of token ") + std::to_string(t), k, slots);
        }
        choice_.replay_in(in);
    }

    void save(const std::string& path) const { detail::write_file(path, to_bytes()); }
    static routing_record load(const std::string& path) { return from_bytes(detail::read_file(path), path); }

    std::vector<unsigned char> to_bytes() const {
        std::vector<unsigned char> out(magic, magic + sizeof magic);
        for (const std::uint32_t n : {version, std::uint32_t{!weight_.empty()}, std::uint32_t(tokens()),
                                      std::uint32_t(experts_), std::uint32_t(choice_.expert().size()),
                                      std::uint32_t(k_)}) {
            detail::append(out, n);
        }
        const auto offset = choice_.offset();
        for (std::size_t t = 1; k_ == ragged && t < offset.size(); ++t) {
            detail::append(out, std::uint32_t(offset[t] - offset[t - 1]));
        }
        for (const index_t e : choice_.expert()) {
            const auto id = std::uint32_t(e);
            for (unsigned byte = 0; byte < id_bytes(experts_); ++byte) out.push_back((id >> (8 * byte)) & 255);
        }
        for (const float w : weight_) detail::append(out, w);
        detail::append(out, detail::fnv1a(out));
        return out;
    }

    // `path` is only named in errors.
    static routing_record from_bytes(std::span<const unsigned char> bytes, const std::string& path = "bytes") {
        detail::file_reader whole(bytes, path);
        constexpr std::size_t least = sizeof magic + 6 * 4 + 8;
        if (bytes.size() < least) {
            whole.fail("size", std::string("at least ") + std::to_string(least) + " bytes", std::to_string(bytes.size()));
        }
        if (std::memcmp(bytes.data(), magic, sizeof magic) != 0) {
            whole.fail("first bytes", "a routing record", "another file");
        }
        std::uint64_t sum;
        std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
        if (sum != detail::fnv1a(bytes.first(bytes.size() - sizeof sum))) {
            whole.fail("checksum", "that of the content", "another (truncated or damaged)");
        }
        detail::file_reader file(bytes.subspan(sizeof magic, bytes.size() - sizeof magic - sizeof sum), path);
        routing_record out;
        out.read(file);
        return out;
    }

    friend bool operator==(const routing_record&, const routing_record&) = default;

private:
    static constexpr unsigned char magic[8] = {'m', 'o', 'e', 'r', '\r', '\n', 0x1a, '\n'};
    static constexpr std::uint32_t version = 1;

    static unsigned id_bytes(index_t experts) { return experts < 256 ? 1 : experts < 65536 ? 2 : 4; }

    static index_t count(detail::file_reader& file, const char* what) {
        const auto n = file.number<std::uint32_t>(what);
        if (n > 0x7fffffffu) file.fail(what, "at most 2147483647", std::to_string(n));
        return static_cast<index_t>(n);
    }

    void read(detail::file_reader& file) {
        const auto found = file.number<std::uint32_t>("version");
        if (found != version) file.fail("version", std::to_string(version), std::to_string(found));
        const auto weights = file.number<std::uint32_t>("weights");
        if (weights > 1) file.fail("weights", "0 or 1", std::to_string(weights));
        const index_t tokens = count(file, "tokens");
        experts_ = count(file, "experts");
        const index_t slots = count(file, "slots");
        const auto k = file.number<std::uint32_t>("slots per token");
        if (k == 0 || (k > 0x7fffffffu && k != ~std::uint32_t{0})) {
            file.fail("slots per token", "1 to 2147483647, or 4294967295 for ragged", std::to_string(k));
        }
        k_ = static_cast<index_t>(k);
        auto offset = read_offsets(file, tokens, slots);
        auto expert = read_experts(file, slots);
        refuse_repetition(file, offset, expert);
        if (weights == 1) {
            const auto bytes = take(file, slots, sizeof(float), "weights");
            if (bytes.empty()) file.fail("weights", "0 where there are no slots", "1");
            weight_.resize(std::size_t(slots));
            std::memcpy(weight_.data(), bytes.data(), bytes.size());
        }
        if (file.left() != 0) file.fail("end", "no more bytes", std::to_string(file.left()) + " bytes");
        choice_ = recorded_choice(std::move(offset), std::move(expert));
    }

    // The bytes are there before anything of their size is allocated.
    static std::span<const unsigned char> take(detail::file_reader& file, index_t count, std::size_t width,
                                               const char* what) {
        const std::uint64_t bytes = std::uint64_t(count) * width;
        if (bytes > file.left()) file.fail(what, std::to_string(bytes) + " bytes", std::to_string(file.left()));
        return file.take(static_cast<std::size_t>(bytes), what);
    }

    std::vector<index_t> read_offsets(detail::file_reader& file, index_t tokens, index_t slots) const {
        const auto require_sum = [&](std::int64_t sum) {
            if (sum != slots) file.fail("slots of all tokens", std::to_string(slots), std::to_string(sum));
        };
        if (k_ != ragged) require_sum(std::int64_t{k_} * tokens);
        const auto counts = take(file, k_ == ragged ? tokens : 0, 4, "slots of each token");
        if (std::size_t(slots) > file.left()) {
            file.fail("slots", std::string("at most ") + std::to_string(file.left()), std::to_string(slots));
        }
        std::vector<index_t> offset(std::size_t(tokens) + 1);
        std::int64_t end = 0;
        for (std::size_t t = 0; t < std::size_t(tokens); ++t) {
            std::uint32_t n = static_cast<std::uint32_t>(k_);
            if (k_ == ragged) std::memcpy(&n, counts.data() + 4 * t, sizeof n);
            end += n;
            if (end > slots) require_sum(end);
            offset[t + 1] = static_cast<index_t>(end);
        }
        require_sum(end);
        return offset;
    }

    std::vector<index_t> read_experts(detail::file_reader& file, index_t slots) const {
        const unsigned width = id_bytes(experts_);
        const auto bytes = take(file, slots, width, "experts");
        const std::uint32_t empty = width == 4 ? ~std::uint32_t{0} : (1u << (8 * width)) - 1;
        std::vector<index_t> expert(std::size_t(slots), -1);
        for (std::size_t s = 0; s < expert.size(); ++s) {
            std::uint32_t id = 0;
            std::memcpy(&id, bytes.data() + s * width, width);
            if (id == empty) continue;
            if (id >= std::uint32_t(experts_)) {
                file.fail(std::string("expert of slot ") + std::to_string(s), std::string("below ") + std::to_string(experts_),
                          std::to_string(id));
            }
            expert[s] = static_cast<index_t>(id);
        }
        return expert;
    }

    static void refuse_repetition(const detail::file_reader& file, std::span<const index_t> offset,
                                  std::span<const index_t> expert) {
        std::vector<index_t> sorted(expert.begin(), expert.end());
        for (std::size_t t = 0; t + 1 < offset.size(); ++t) {
            const auto last = sorted.begin() + offset[t + 1];
            const auto live = std::partition(sorted.begin() + offset[t], last, [](index_t e) { return e < 0; });
            std::sort(live, last);
            const auto twice = std::adjacent_find(live, last);
            if (twice == last) continue;
            file.fail(std::string("experts of token ") + std::to_string(t), "each once", std::to_string(*twice) + " twice");
        }
    }

    recorded_choice choice_{{0}, {}};
    index_t experts_ = 0;
    index_t k_ = ragged;
    std::vector<float> weight_;
};

MOE_END
