#include "moe/combine/weighted_sum.hpp"
#include "moe/experts/ffn_bank.hpp"
#include "moe/gate/linear.hpp"
#include "moe/key/group_limit.hpp"
#include "moe/layer/layer.hpp"
#include "moe/layer/shared.hpp"
#include "moe/route/capacity.hpp"
#include "moe/route/capacity_reroute.hpp"
#include "moe/route/null_experts.hpp"
#include "moe/score/softmax.hpp"
#include "moe/select/expert_choice.hpp"
#include "moe/select/top_k.hpp"
#include "moe/select/top_p.hpp"
#include "moe/testing/layer_laws.hpp"
#include "support/backends.hpp"
#include "support/catch.hpp"

namespace {

using ids = std::vector<moe::index_t>;
constexpr moe::index_t huge = 2147483647;

template <class... Steps>
auto layer_of(Steps... steps) {
    return moe::layer{moe::router{moe::linear_gate<float>{{.features = 3, .experts = 8, .seed = 1}}, moe::softmax{},
                                  steps...},
                      moe::swiglu_bank<float>{{.features = 3, .hidden = 4, .experts = 8}}};
}

struct good_call {
    moe::matrix<float> x = moe::testing::random_matrix<float>(4, 3, 1);
    moe::matrix<float> y = moe::testing::poisoned<float>(4, 3);
    moe::batch<float> in;
    good_call() { in.x = x; }
};

// The call throws this sentence, leaves y alone, and the layer works afterwards.
template <class Error, class Layer, class F>
void refuses(const Layer& layer, const std::string& sentence, const F& spoil) {
    moe::reference backend;
    good_call good;
    moe::matrix<float> expected(4, 3);
    layer.forward(backend, good.in, expected.view());
    good_call bad;
    const moe::matrix<float> untouched = bad.y;
    moe::matrix_view<float> y = bad.y;
    spoil(bad.in, y);
    moe::tape<float> tape;
    for (const bool taped : {false, true}) {
        std::string text;
        try {
            if (taped) layer.forward(backend, bad.in, y, tape);
            else layer.forward(backend, bad.in, y);
        } catch (const Error& e) {
            text = e.what();
        }
        CHECK(text == sentence);
        CHECK(moe::testing::same_bits(bad.y, untouched));
    }
    moe::matrix<float> again(4, 3);
    layer.forward(backend, good.in, again.view(), tape);
    CHECK(moe::testing::same_bits(again, expected));
}

template <class Error, class F>
void throws(const std::string& sentence, const F& f) {
    std::string text;
    try {
        f();
    } catch (const Error& e) {
        text = e.what();
    }
    CHECK(text == sentence);
}

}  // namespace

TEST_CASE("x, y and features of the wrong shape are refused") {
    const auto layer = layer_of(moe::top_k{.k = 2});
    const moe::matrix<float> wide(4, 5);
    moe::matrix<float> short_y(3, 3);
    refuses<moe::shape_error>(layer, "moe: x: wanted [4, 3], got [4, 5]", [&](auto& in, auto&) { in.x = wide; });
    refuses<moe::shape_error>(layer, "moe: y: wanted [4, 3], got [3, 3]", [&](auto&, auto& y) { y = short_y; });
    refuses<moe::shape_error>(layer, "moe: batch.features: wanted [4, 3], got [4, 5]",
                              [&](auto& in, auto&) { in.features = wide; });
    refuses<moe::shape_error>(layer, "moe: x row stride: wanted at least 3, got 2",
                              [&](auto& in, auto&) { in.x.stride = 2; });
}

TEST_CASE("output that overlaps the input is refused") {
    const auto layer = layer_of(moe::top_k{.k = 2});
    refuses<moe::value_error>(layer, "moe: x and y: wanted memory that does not overlap, got overlapping memory",
                              [](auto& in, auto& y) { in.x = moe::matrix_view<const float>(y); });
}

TEST_CASE("masks, labels and token ids of the wrong length are refused") {
    const auto layer = layer_of(moe::top_k{.k = 2});
    const std::vector<std::uint8_t> mask(3, 1);
    const ids five(5, 0);
    refuses<moe::shape_error>(layer, "moe: batch.mask: wanted [4], got [3]", [&](auto& in, auto&) { in.mask = mask; });
    refuses<moe::shape_error>(layer, "moe: batch.label: wanted [4], got [5]", [&](auto& in, auto&) { in.label = five; });
    refuses<moe::shape_error>(layer, "moe: batch.token_id: wanted [4], got [5]",
                              [&](auto& in, auto&) { in.token_id = five; });
}

TEST_CASE("sequence offsets that fall, do not start at 0 or do not end at T are refused") {
    const auto layer = layer_of(moe::top_k{.k = 2});
    const ids falling = {0, 3, 2, 4};
    const ids late = {1, 4};
    const ids early = {0, 2, 3};
    const ids beyond = {0, 2, 5};
    const auto with = [](const ids& cut) { return [&cut](auto& in, auto&) { in.sequence = cut; }; };
    refuses<moe::value_error>(layer, "moe: batch.sequence[2]: wanted at least 3, got 2", with(falling));
    refuses<moe::value_error>(layer, "moe: batch.sequence[0]: wanted 0, got 1", with(late));
    refuses<moe::value_error>(layer, "moe: the last of batch.sequence: wanted 4, got 3", with(early));
    refuses<moe::value_error>(layer, "moe: the last of batch.sequence: wanted 4, got 5", with(beyond));
}

TEST_CASE("a k above the number of experts that can be chosen is refused, when composed and at call time") {
    const auto k_of_call = [](moe::index_t k) { return [k](auto& in, auto&) { in.k = k; }; };
    const auto layer = layer_of(moe::top_k{.k = 8});
    refuses<moe::value_error>(layer, "moe: top_k routes per token (k): wanted at most 8 (experts that can be chosen), got 9",
                              k_of_call(9));
    refuses<moe::value_error>(layer, "moe: batch.k: wanted at least 0 (0: the selector's own), got -1", k_of_call(-1));
    throws<moe::value_error>("moe: top_k routes per token (k): wanted at most 8 (experts that can be chosen), got 9",
                             [] { (void)layer_of(moe::top_k{.k = 9}); });
    // Two of four groups of two stay: four experts.
    const moe::group_limit half{.groups = 4, .keep = 2, .best = 1};
    throws<moe::value_error>("moe: top_k routes per token (k): wanted at most 4 (experts that can be chosen), got 5",
                             [&] { (void)layer_of(half, moe::top_k{.k = 5}); });
    refuses<moe::value_error>(layer_of(half, moe::top_k{.k = 4}),
                              "moe: top_k routes per token (k): wanted at most 4 (experts that can be chosen), got 5",
                              k_of_call(5));
}

TEST_CASE("wrong options of selectors are refused when composed") {
    throws<moe::value_error>("moe: top_k.k: wanted at least 1, got 0", [] { (void)layer_of(moe::top_k{.k = 0}); });
    throws<moe::value_error>("moe: expert_choice.capacity: wanted at least 0, got -3",
                             [] { (void)layer_of(moe::expert_choice{.capacity = -3}); });
    throws<moe::value_error>("moe: top_p.p: wanted at least 0, got -1.000000",
                             [] { (void)layer_of(moe::top_p{.p = -1}); });
    throws<moe::value_error>("moe: null_experts.first: wanted 0 to 8, got 9",
                             [] { (void)layer_of(moe::top_k{}, moe::null_experts{.first = 9}); });
}

TEST_CASE("a gate or bank without experts or features is refused") {
    throws<moe::value_error>("moe: linear_gate.experts: wanted at least 1, got 0",
                             [] { moe::linear_gate<float>{{.features = 3, .experts = 0}}; });
    throws<moe::value_error>("moe: linear_gate.features: wanted at least 1, got -2",
                             [] { moe::linear_gate<float>{{.features = -2, .experts = 4}}; });
    CHECK_THROWS_AS((moe::swiglu_bank<float>{{.features = 3, .hidden = 2, .experts = 0}}), moe::value_error);
}

TEST_CASE("more than 2^31-1 routes are refused before any memory is touched") {
    float nothing = 0;
    const auto with = [&](moe::index_t tokens) {
        return [&nothing, tokens](auto& in, auto& y) {
            in.x = moe::matrix_view<const float>(&nothing, tokens, 3, 3);
            y = moe::matrix_view<float>(&nothing, tokens, 3, 3);
        };
    };
    const std::string tokens = std::to_string(huge / 2 + 1);
    refuses<moe::shape_error>(layer_of(moe::top_k{.k = 2}),
                              "moe: routes (tokens * k): wanted at most 2147483647, got 2147483648", with(huge / 2 + 1));
    refuses<moe::shape_error>(layer_of(moe::top_k{.k = 8}),
                              "moe: routes (tokens * k): wanted at most 2147483647, got 17179869176", with(huge));
    refuses<moe::shape_error>(layer_of(moe::top_p{.p = 0.5}),
                              "moe: routes: wanted at most 2147483647, got 17179869176", with(huge));
    refuses<moe::shape_error>(layer_of(moe::expert_choice{.capacity_factor = 2}),
                              "moe: routes: wanted at most 2147483647, got 4294967288", with(huge));
}

TEST_CASE("more than 2^31-1 rows of shared experts are refused before any memory is touched") {
    const moe::layer layer{
        moe::router{moe::linear_gate<float>{{.features = 3, .experts = 8, .seed = 1}}, moe::softmax{}, moe::top_k{.k = 1}},
        moe::swiglu_bank<float>{{.features = 3, .hidden = 4, .experts = 8}},
        moe::shared{moe::swiglu_bank<float>{{.features = 3, .hidden = 4, .experts = 2}}}};
    float nothing = 0;
    refuses<moe::shape_error>(layer, "moe: shared: tokens * experts: wanted at most 2147483647, got 4294967294",
                              [&](auto& in, auto& y) {
                                  in.x = moe::matrix_view<const float>(&nothing, huge, 3, 3);
                                  y = moe::matrix_view<float>(&nothing, huge, 3, 3);
                              });
}

TEST_CASE("sizes above 2^31-1 do not enter the library") {
    CHECK_THROWS_AS(moe::checked_index(std::size_t{1} << 31, "x rows"), moe::shape_error);
    CHECK(moe::checked_index((std::size_t{1} << 31) - 1, "x rows") == huge);
}

TEST_CASE("a recorded choice that does not fit is refused") {
    const auto layer = layer_of(moe::top_k{.k = 2});
    const auto replaying = [](const ids& offset, const ids& expert) {
        return [&](auto& in, auto&) {
            in.replay_offset = offset;
            in.replay_expert = expert;
        };
    };
    const ids even = {0, 2, 4, 6, 8};
    const ids short_offset = {0, 2, 4, 6};
    const ids falling = {0, 2, 1, 6, 8};
    const ids beyond = {0, 2, 4, 6, 9};
    const ids under = {0, 2, 4, 6, 7};
    const ids good = {0, 1, 0, 1, 0, 1, 0, 1};
    const ids out_of_range = {0, 1, 0, 8, 0, 1, 0, 1};
    const ids negative = {0, 1, 0, -2, 0, 1, 0, 1};
    const ids twice = {0, 1, 0, 1, 3, 3, 0, 1};
    using value = moe::value_error;
    refuses<moe::shape_error>(layer, "moe: batch.replay_offset: wanted [5], got [4]", replaying(short_offset, good));
    refuses<value>(layer, "moe: batch.replay_offset[2]: wanted 2 to 8, got 1", replaying(falling, good));
    refuses<value>(layer, "moe: batch.replay_offset[4]: wanted 6 to 8, got 9", replaying(beyond, good));
    refuses<value>(layer, "moe: the last of batch.replay_offset: wanted 8, got 7", replaying(under, good));
    refuses<value>(layer, "moe: batch.replay_expert[3]: wanted -1 to 7, got 8", replaying(even, out_of_range));
    refuses<value>(layer, "moe: batch.replay_expert[3]: wanted -1 to 7, got -2", replaying(even, negative));
    refuses<value>(layer, "moe: batch.replay_expert[5]: wanted an expert the token has not got yet, got 3",
                   replaying(even, twice));
}

TEST_CASE("a choice that lets tokens see later ones is refused where the batch is causal") {
    refuses<moe::value_error>(layer_of(moe::expert_choice{}),
                              "moe: router: step 2 (expert_choice): wanted a step that lets no token see later ones, because "
                              "batch.causal is set, got one whose choice for a token depends on the other tokens",
                              [](auto& in, auto&) { in.causal = true; });
}

TEST_CASE("capacity is causal where its count is fixed and earlier tokens come first, and refused elsewhere") {
    moe::reference b;
    good_call call;
    call.in.causal = true;
    const auto run = [&](const auto& step) { (void)layer_of(moe::top_k{.k = 2}, step)(b, call.in); };
    CHECK_NOTHROW(run(moe::capacity{{.count = 1}}));
    CHECK_THROWS_AS(run(moe::capacity{{.factor = 0.5}}), moe::value_error);
    CHECK_THROWS_AS(run(moe::capacity{{.count = 1, .priority = moe::capacity_priority::score}}), moe::value_error);
    // A route that does not fit looks for room that later tokens may have taken.
    CHECK_THROWS_AS(run(moe::capacity_reroute{{.count = 1}}), moe::value_error);
}

TEST_CASE("backward refuses gradients of the wrong shape, and a tape that is empty or used") {
    const auto layer = layer_of(moe::top_k{.k = 2});
    moe::reference backend;
    good_call call;
    moe::tape<float> tape;
    auto g = layer.make_gradient();
    moe::matrix<float> dx(4, 3);
    const moe::matrix<float> dy(4, 3);
    const moe::matrix<float> short_dy(3, 3);
    const auto back = [&](const moe::matrix<float>& upstream) { layer.backward(backend, upstream.view(), tape, dx.view(), g); };
    throws<moe::value_error>("moe: tape: wanted the record of a forward that no backward has used, got an empty or used tape",
                             [&] { tape.take(nullptr); });
    layer.forward(backend, call.in, call.y.view(), tape);
    throws<moe::shape_error>("moe: dy: wanted [4, 3], got [3, 3]", [&] { back(short_dy); });
    back(dy);
    throws<moe::value_error>("moe: tape: wanted the record of a forward that no backward has used, got an empty or used tape",
                             [&] { back(dy); });
    const auto other = layer_of(moe::top_p{});
    other.forward(backend, call.in, call.y.view(), tape);
    throws<moe::value_error>("moe: tape: wanted the record of this type of layer on this backend, got the record of another one",
                             [&] { back(dy); });
}
