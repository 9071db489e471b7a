#include "moe/io/routing_record.hpp"

#include "io/files.hpp"
#include "moe/moe.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/catch.hpp"

namespace {

using Catch::Matchers::Contains;
using ids = std::vector<moe::index_t>;
using bytes = std::vector<unsigned char>;

auto make_layer(std::uint64_t gate_seed) {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = 5, .experts = 6, .seed = gate_seed}},
                                  moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{}},
                      moe::swiglu_bank<float>{{.features = 5, .hidden = 3, .experts = 6, .seed = 7}}};
}

// Three tokens with two slots each, one of them empty.
struct small_routes {
    ids offset{0, 2, 4, 6};
    ids expert{2, 0, 1, -1, 0, 2};
    std::vector<float> weight{0.75f, 0.25f, 1, 0, 0.5f, 0.5f};
    moe::routes<float> view(moe::index_t k) const { return {offset, expert, weight, k}; }
};

// With the checksum that belongs to the changed content.
bytes sealed(bytes content, std::size_t at, unsigned char value) {
    content[at] = value;
    content.resize(content.size() - 8);
    moe::detail::append(content, moe::detail::fnv1a(content));
    return content;
}

std::string refusal_of(const bytes& content) {
    return io_error_of([&] { moe::routing_record::from_bytes(content, "f.routes"); });
}

}  // namespace

TEST_CASE("a routing record replays from its file with weights from the live scores") {
    const scratch_folder folder;
    moe::reference backend;
    const auto x = moe::testing::random_matrix<float>(9, 5, 1);
    moe::batch<float> in;
    in.x = x;
    const auto recorded = make_layer(1), other = make_layer(2);
    moe::matrix<float> y(9, 5), replayed(9, 5);
    moe::tape<float> tape;
    recorded.forward(backend, in, y.view(), tape);
    moe::routing_record(tape.routing().selected, 6).save(folder / "a.routes");
    moe::routing_record(tape.plan()).save(folder / "b.routes");

    const auto record = moe::routing_record::load(folder / "a.routes");
    CHECK(record.k() == 2);
    moe::batch<float> again = in;
    record.replay_in(again, 6, 2);
    recorded.forward(backend, again, replayed.view(), tape);
    CHECK(moe::testing::same_bits(y, replayed));

    // Another gate: the experts of the record, the weights of that gate.
    moe::matrix<float> ignored(9, 5);
    moe::tape<float> live, forced;
    other.forward(backend, in, ignored.view(), live);
    other.forward(backend, again, ignored.view(), forced);
    CHECK(moe::recorded_choice(forced.routing().routes) == record.choice());
    CHECK_FALSE(moe::recorded_choice(live.routing().routes) == record.choice());
    const auto& scores = live.routing().scores;
    const auto& routes = forced.routing().routes;
    for (moe::index_t t = 0; t < 9; ++t) {
        const std::size_t slot = std::size_t(2 * t);
        const float first = scores(t, routes.expert[slot]), second = scores(t, routes.expert[slot + 1]);
        CHECK(routes.weight[slot] == Approx(first / (first + second)));
    }

    const auto of_plan = moe::routing_record::load(folder / "b.routes");
    CHECK(of_plan.k() == moe::routing_record::ragged);
    CHECK(of_plan == moe::routing_record(tape.plan()));
    moe::batch<float> third = in;
    of_plan.replay_in(third, 6, 2);
    CHECK_NOTHROW(other.forward(backend, third, ignored.view(), live));
}

TEST_CASE("the bytes of a routing record are those that are documented") {
    const small_routes r;
    const bytes got = moe::routing_record(r.view(2), 3, true).to_bytes();
    bytes want{'m', 'o', 'e', 'r', '\r', '\n', 0x1a, '\n', 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0,
               6,   0,   0,   0,   2,    0,    0,    0,    2, 0, 1, 255, 0, 2};
    for (const float w : r.weight) moe::detail::append(want, w);
    moe::detail::append(want, moe::detail::fnv1a(want));
    CHECK(got == want);

    bytes ragged{'m', 'o', 'e', 'r', '\r', '\n', 0x1a, '\n', 1, 0, 0, 0, 0,   0,   0,    0,    3, 0, 0, 0, 44, 1,  0, 0,
                 6,   0,   0,   0,   255,  255,  255,  255,  2, 0, 0, 0, 2,   0,   0,    0,    2, 0, 0, 0,
                 2,   0,   0,   0,   1,    0,    255,  255,  0, 0, 2, 0};
    moe::detail::append(ragged, moe::detail::fnv1a(ragged));
    CHECK(moe::routing_record(r.view(0), 300).to_bytes() == ragged);
}

TEST_CASE("a routing record comes back as it was, for every width of its ids") {
    const small_routes r;
    for (const moe::index_t experts : {3, 255, 256, 65535, 65536, 2147483647}) {
        for (const moe::index_t k : {0, 2}) {
            for (const bool weights : {false, true}) {
                const moe::routing_record record(r.view(k), experts, weights);
                const auto again = moe::routing_record::from_bytes(record.to_bytes());
                CHECK(again == record);
                CHECK(again.experts() == experts);
                CHECK(again.weight().size() == (weights ? 6u : 0u));
            }
        }
    }
    const ids offset{0, 1}, expert{65534};
    const moe::routing_record last(moe::routes<float>{offset, expert, {}, 1}, 65535);
    CHECK(moe::routing_record::from_bytes(last.to_bytes()).choice().expert()[0] == 65534);
    CHECK(moe::routing_record::from_bytes(moe::routing_record().to_bytes()) == moe::routing_record());
}

TEST_CASE("a replay with other tokens, experts or slots per token is refused") {
    const small_routes r;
    const moe::routing_record fixed(r.view(2), 3), ragged(r.view(0), 3);
    moe::matrix<float> x(3, 2), four(4, 2);
    moe::batch<float> in;
    const auto refusal = [&](const moe::routing_record& record, moe::matrix<float>& rows, moe::index_t experts,
                             moe::index_t k) {
        in = {};
        in.x = rows;
        try {
            record.replay_in(in, experts, k);
        } catch (const moe::shape_error& e) {
            CHECK(in.replay_offset.empty());
            return std::string(e.what());
        }
        return std::string("none");
    };
    CHECK(refusal(fixed, x, 3, 2) == "none");
    CHECK(refusal(fixed, x, 3, moe::routing_record::ragged) == "none");
    CHECK(refusal(ragged, x, 3, 5) == "none");
    CHECK_THAT(refusal(fixed, four, 3, 2), Contains("routing record: tokens: wanted 4, got 3"));
    CHECK_THAT(refusal(fixed, x, 4, 2), Contains("routing record: experts: wanted 4, got 3"));
    CHECK_THAT(refusal(fixed, x, 3, 1), Contains("routing record: slots per token: wanted 1, got 2"));
    CHECK_THAT(refusal(fixed, x, 3, 3), Contains("routing record: slots per token: wanted 3, got 2"));
    CHECK_THAT(refusal(ragged, x, 3, 1), Contains("at most this many slots of token 0: wanted 1, got 2"));
}

TEST_CASE("every truncation, extension and flipped byte of a routing record is refused") {
    const small_routes r;
    for (const moe::index_t k : {0, 2}) {
        bytes content = moe::routing_record(r.view(k), 3, true).to_bytes();
        for (std::size_t size = 0; size < content.size(); ++size) {
            CHECK_THAT(refusal_of({content.begin(), content.begin() + std::ptrdiff_t(size)}), Contains("f.routes: "));
        }
        for (auto& b : content) {
            b ^= 0x20;
            CHECK_THAT(refusal_of(content), Contains("f.routes: "));
            b ^= 0x20;
        }
        content.push_back(0);
        CHECK_THAT(refusal_of(content), Contains("checksum"));
    }
}

TEST_CASE("a routing record that contradicts itself is refused although its checksum is right") {
    const small_routes r;
    const bytes fixed = moe::routing_record(r.view(2), 3).to_bytes();
    const bytes ragged = moe::routing_record(r.view(0), 3).to_bytes();
    CHECK_THAT(refusal_of(sealed(fixed, 8, 2)), Contains("version: wanted 1, got 2"));
    CHECK_THAT(refusal_of(sealed(fixed, 12, 2)), Contains("weights: wanted 0 or 1, got 2"));
    CHECK_THAT(refusal_of(sealed(fixed, 12, 1)), Contains("weights: wanted 24 bytes, got 0"));
    CHECK_THAT(refusal_of(sealed(fixed, 16, 4)), Contains("slots of all tokens: wanted 6, got 8"));
    CHECK_THAT(refusal_of(sealed(fixed, 19, 0x80)), Contains("tokens: wanted at most 2147483647"));
    CHECK_THAT(refusal_of(sealed(fixed, 20, 2)), Contains("expert of slot 0: wanted below 2, got 2"));
    CHECK_THAT(refusal_of(sealed(fixed, 24, 5)), Contains("slots of all tokens: wanted 5, got 6"));
    CHECK_THAT(refusal_of(sealed(fixed, 28, 0)), Contains("slots per token: wanted 1 to 2147483647"));
    CHECK_THAT(refusal_of(sealed(fixed, 33, 2)), Contains("experts of token 0: wanted each once, got 2 twice"));
    CHECK_THAT(refusal_of(sealed(ragged, 19, 0x7f)), Contains("slots of each token: wanted"));
    CHECK_THAT(refusal_of(sealed(ragged, 32, 3)), Contains("slots of all tokens: wanted 6, got 7"));
    CHECK_THAT(refusal_of(sealed(ragged, 35, 0xff)), Contains("slots of all tokens: wanted 6, got "));
    CHECK_THAT(refusal_of(sealed(ragged, 32, 1)), Contains("slots of all tokens: wanted 6, got 5"));
    CHECK_THAT(refusal_of(sealed(ragged, 27, 0x70)), Contains("slots: wanted at most"));
}
