// Backends are replaceable: whole layers run on a backend from outside the library whose memory is closed to everything
// but its own verbs and row programs; and on the kernel bodies of backend/cuda, run over the whole grid on such memory.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "backend/cuda/on_host.hpp"
#include "backend/recording/backend.hpp"
#include "moe/moe.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

using moe::index_t;
using T = double;

constexpr index_t tokens = 37, features = 10, experts = 12;

moe::matrix<T> random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
    moe::matrix<T> m(rows, cols);
    const moe::random_stream random(seed, moe::stream_id("tests.recording"));
    for (index_t i = 0; i < rows; ++i) {
        for (index_t j = 0; j < cols; ++j) m(i, j) = random.normal(std::uint64_t(i), std::uint32_t(j));
    }
    return m;
}

std::vector<std::uint8_t> some_padding() {
    std::vector<std::uint8_t> mask(tokens, 1);
    for (const std::size_t t : {0u, 5u, 6u, 36u}) mask[t] = 0;
    return mask;
}

// Every part of the slice, with biases that are not 0.
auto deepseek_like(moe::capacity_options capacity = {}) {
    moe::layer layer{
        moe::router{moe::linear_gate<T>{{.features = features, .experts = experts, .bias = true, .seed = 1}},
                    moe::sigmoid{}, moe::selection_bias{experts}, moe::group_limit{.groups = 4, .keep = 2, .best = 2},
                    moe::top_k{.k = 3}, moe::renormalize{.epsilon = 1e-20}, moe::scale{2.5}, moe::capacity{capacity}},
        moe::swiglu_bank<T>{{.features = features, .hidden = 7, .experts = experts, .bias = true, .seed = 2}},
        moe::shared{moe::swiglu_bank<T>{{.features = features, .hidden = 5, .experts = 2, .seed = 3}}}};
    auto& bias = moe::get<moe::selection_bias>(layer).bias;
    for (std::size_t e = 0; e < bias.size(); ++e) bias[e] = 0.05f * static_cast<float>(e % 3);
    return layer;
}

auto switch_like() {
    return moe::layer{
        moe::router{moe::linear_gate<T, moe::gate_math::upcast>{{.features = features, .experts = experts, .seed = 1}},
                    moe::softmax{}, moe::top_k{.k = 2}, moe::softmax_selected{}},
        moe::gelu_bank<T>{{.features = features, .hidden = 7, .experts = experts, .bias = true, .seed = 2}}};
}

// What one step of training leaves behind, brought to the host.
struct outcome {
    std::vector<std::vector<T>> tensors;
    std::vector<double> losses;

    template <class B, class Tensor>
    void add(B&, const Tensor& tensor) {
        const auto on_host = moe::copy_to(moe::reference{}, tensor);
        const auto values = moe::flat(on_host);
        tensors.emplace_back(values.begin(), values.end());
    }
};

// Inference, a taped forward, losses, backward, an optimiser step, a balance controller, and inference again.
template <class Layer, class B>
outcome train(const Layer& on_host, B& b, moe::batch<T> call = {}) {
    Layer layer = moe::copy_to(b, on_host);
    const auto x = moe::copy_to(b, random_matrix(tokens, features, 4));
    const auto dy = moe::copy_to(b, random_matrix(tokens, features, 5));
    moe::matrix<T> y = moe::copy_to(b, moe::matrix<T>(tokens, features));
    moe::matrix<T> dx = y, inferred = y;
    moe::buffer<std::uint8_t> mask(call.mask.size());
    std::copy(call.mask.begin(), call.mask.end(), mask.data());
    mask = moe::copy_to(b, mask);
    call.mask = mask.span();
    call.x = x.view();

    outcome result;
    moe::tape<T> tape;
    auto gradient = moe::make_gradient(layer);
    moe::adamw adamw{{.learning_rate = 0.1}};
    moe::sgd sgd{{.momentum = 0.5, .nesterov = true}};
    layer.forward(b, call, inferred.view());
    for (int step = 0; step < 2; ++step) {
        moe::zero_gradient(layer, gradient);
        layer.forward(b, call, y.view(), tape);
        const moe::load_balance balance{.coefficient = 0.1, .from = moe::probabilities::normalized_scores};
        result.losses.push_back(balance(b, tape));
        const moe::load_balance by_sequence{.from = moe::probabilities::softmax_of_logits,
                                            .scope = moe::loss_scope::sequence};
        result.losses.push_back(by_sequence(b, tape));
        result.losses.push_back(moe::z_loss{0.01}(b, tape));
        result.losses.push_back(moe::importance_cv2{.from = moe::probabilities::route_weights}(b, tape));
        layer.backward(b, dy.view(), tape, dx.view(), gradient);
        if constexpr (requires { layer.router().template step<2>().bias; }) {
            moe::sign_bias{.rate = 0.1}.update(layer.router().template step<2>().bias, tape.plan());
        }
        moe::visit_parameters([&](const auto&, auto& w, auto& g) { result.add(b, w), result.add(b, g); }, layer,
                              gradient);
        adamw.step(b, layer, gradient);
        sgd.step(b, layer, gradient);
    }
    for (const auto* m : {&inferred, &y, &dx}) result.add(b, *m);
    result.add(b, layer(b, call));
    return result;
}

template <class Layer>
void check_same_bits(const Layer& layer, const moe::batch<T>& call = {}) {
    moe::reference reference;
    recording::backend recorder;
    const outcome wanted = train(layer, reference, call);
    const outcome got = train(layer, recorder, call);
    CHECK(got.losses == wanted.losses);
    REQUIRE(got.tensors.size() == wanted.tensors.size());
    for (std::size_t i = 0; i < wanted.tensors.size(); ++i) {
        INFO("tensor " << i);
        CHECK(got.tensors[i] == wanted.tensors[i]);
    }
    CHECK(recorder.faults == std::vector<std::string>{});
}

// Whether f dies of a segmentation fault, tried in another process.
template <class F>
bool faults(const F& f) {
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGSEGV, SIG_DFL);
        f();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

}  // namespace

TEST_CASE("a layer of all parts of the slice trains on closed memory with the bits of the reference") {
    const std::vector<index_t> sequence{0, 9, 9, 30, tokens};
    const std::vector<std::uint8_t> mask = some_padding();
    moe::batch<T> call;
    call.sequence = sequence;
    SECTION("without padding") {}
    SECTION("with padding") { call.mask = mask; }
    check_same_bits(deepseek_like(), call);
}

TEST_CASE("a layer of all parts of the slice trains on the kernel bodies of CUDA") {
    const std::vector<index_t> sequence{0, 9, 9, 30, tokens};
    const std::vector<std::uint8_t> mask = some_padding();
    moe::batch<T> call;
    call.sequence = sequence;
    call.mask = mask;
    moe::reference reference;
    test::cuda_on_host<recording::closed_memory> forwards(false), backwards(true);
    const outcome wanted = train(deepseek_like(), reference, call);
    const outcome got = train(deepseek_like(), forwards, call);
    const outcome again = train(deepseek_like(), backwards, call);
    CHECK(again.losses == got.losses);
    CHECK(again.tensors == got.tensors);
    for (std::size_t i = 0; i < wanted.losses.size(); ++i)
        CHECK(got.losses[i] == Approx(wanted.losses[i]).epsilon(1e-12));
    for (std::size_t i = 0; i < wanted.tensors.size(); ++i) {
        INFO("tensor " << i);
        const auto view = [i](const outcome& o) {
            return moe::matrix_view<const T>(o.tensors[i].data(), 1, static_cast<index_t>(o.tensors[i].size()));
        };
        CHECK(relative_error(view(got), view(wanted)) <= tolerance<T>::gradient);
    }
}

TEST_CASE("softmax routers with a wide gate and plain experts train on closed memory with the bits of the reference") {
    check_same_bits(switch_like());
}

TEST_CASE("every way to keep the capacity runs on closed memory") {
    const std::vector<index_t> sequence{0, 20, tokens};
    const std::vector<std::uint8_t> mask = some_padding();
    moe::batch<T> call;
    call.sequence = sequence;
    call.mask = mask;
    using scope = moe::capacity_scope;
    using priority = moe::capacity_priority;
    moe::reference reference;
    for (const scope cut : {scope::batch, scope::sequence, scope::rows}) {
        for (const priority first : {priority::order, priority::last, priority::choice_rank, priority::token_score,
                                     priority::score, priority::random}) {
            const auto on_host = deepseek_like({.factor = 0.7, .scope = cut, .rows = 8, .priority = first});
            recording::backend recorder;
            const auto layer = moe::copy_to(recorder, on_host);
            const auto x = random_matrix(tokens, features, 4);
            const auto x_there = moe::copy_to(recorder, x);
            moe::buffer<std::uint8_t> mask_there(mask.size());
            std::copy(mask.begin(), mask.end(), mask_there.data());
            mask_there = moe::copy_to(recorder, mask_there);
            call.x = x.view();
            call.mask = mask;
            const auto wanted = on_host(reference, call);
            call.x = x_there.view();
            call.mask = mask_there.span();
            const auto got = moe::copy_to(reference, layer(recorder, call));
            CHECK(std::equal(got.span().begin(), got.span().end(), wanted.span().begin()));
            CHECK(recorder.faults == std::vector<std::string>{});
        }
    }
}

TEST_CASE("a recorded choice is checked on the host and replayed in closed memory") {
    const auto on_host = switch_like();
    const auto x = random_matrix(3, features, 4);
    const std::vector<index_t> offset{0, 2, 2, 4}, expert{3, 1, -1, 11};
    moe::reference reference;
    recording::backend recorder;
    moe::batch<T> call;
    call.x = x.view();
    call.replay_offset = offset;
    call.replay_expert = expert;
    const auto wanted = on_host(reference, call);
    const auto there = moe::copy_to(recorder, x);
    call.x = there.view();
    const auto got = moe::copy_to(reference, moe::copy_to(recorder, on_host)(recorder, call));
    CHECK(std::equal(got.span().begin(), got.span().end(), wanted.span().begin()));
}

TEST_CASE("no tokens at all run on closed memory") {
    recording::backend recorder;
    const auto layer = moe::copy_to(recorder, deepseek_like());
    const moe::matrix<T> none(0, features);
    const auto y = layer(recorder, none);
    CHECK(y.rows() == 0);
    CHECK(y.cols() == features);
}

TEST_CASE("a layer runs its verbs in the order of the data flow") {
    recording::backend recorder;
    const auto layer = moe::copy_to(
        recorder, moe::layer{moe::router{moe::linear_gate<T>{{.features = features, .experts = experts}},
                                         moe::softmax{}, moe::top_k{.k = 2}, moe::renormalize{}},
                             moe::swiglu_bank<T>{{.features = features, .hidden = 7, .experts = experts}}});
    const auto x = moe::copy_to(recorder, random_matrix(tokens, features, 4));
    using list = std::vector<std::string>;
    moe::matrix<T> y = x, dx = x;
    layer(recorder, x, y);
    const list forward{"grouped_linear",                       // gate
                       "copy", "for_rows",                     // softmax, on a copy of the logits
                       "for_rows", "for_rows", "for_rows",     // top_k: offsets, choice, weights
                       "for_rows",                             // renormalize
                       "build_plan", "grouped_gated_activation", "grouped_linear", "weighted_sum"};
    CHECK(recorder.verbs == forward);

    moe::tape<T> tape;
    auto gradient = moe::make_gradient(layer);
    moe::batch<T> call;
    call.x = x.view();
    layer.forward(recorder, call, y.view(), tape);
    recorder.verbs.clear();
    layer.backward(recorder, x.view(), tape, dx.view(), gradient);
    const list combine{"fill", "weighted_sum_gradient"};
    const list down{"grouped_weight_gradient", "grouped_input_gradient"};
    const list gate_and_up{"gated_activation_gradient", "grouped_weight_gradient", "grouped_input_gradient",
                           "grouped_weight_gradient", "grouped_input_gradient", "weighted_sum"};
    const list router{"for_rows", "for_rows", "for_rows", "add", "grouped_weight_gradient", "grouped_input_gradient"};
    list backward;
    for (const list& part : {combine, down, gate_and_up, router}) backward.insert(backward.end(), part.begin(), part.end());
    CHECK(recorder.verbs == backward);
    CHECK(recorder.faults == std::vector<std::string>{});
}

TEST_CASE("memory of a backend faults when the host reads or writes it") {
    recording::backend recorder;
    moe::matrix<T> m = moe::copy_to(recorder, random_matrix(2, 2, 1));
    CHECK(faults([&] { (void)*const_cast<const volatile T*>(m.data()); }));
    CHECK(faults([&] { m(1, 1) = 0; }));
    moe::matrix<T> back(2, 2);
    CHECK_FALSE(faults([&] { back = moe::copy_to(moe::reference{}, m); }));
}

TEST_CASE("views and row programs that point into the host's memory are noticed") {
    recording::backend recorder;
    using K = moe::kernels_of<recording::backend>;
    moe::matrix<T> on_host(2, 2);
    moe::matrix<T> there = moe::copy_to(recorder, on_host);
    K::copy(recorder, on_host.view(), there.view());
    CHECK(recorder.faults.size() == 1);
    const moe::matrix_view<T> view = on_host.view();
    K::for_rows(recorder, 2, [=](index_t i) { view(i, 0) = 1; });
    CHECK(recorder.faults.size() == (recording::host_addresses::are_found ? 2 : 1));
}

TEST_CASE("tensors in the wrong memory are refused by name") {
    recording::backend recorder;
    const auto on_host = switch_like();
    auto there = moe::copy_to(recorder, on_host);
    const auto x = moe::copy_to(recorder, random_matrix(tokens, features, 4));
    moe::reference reference;
    const std::string cure = "moe::copy_to(backend, model) brings it there, got a tensor in other memory";
    CHECK_THROWS_WITH(on_host(recorder, x), "moe: router.0.weight: wanted memory of the backend of this call; " + cure);
    auto gradient = moe::make_gradient(there);
    moe::adamw adamw;
    CHECK_THROWS_WITH(adamw.step(there, gradient),
                      "moe: router.0.weight: wanted memory of the backend of this call; " + cure);
    auto gradient_on_host = moe::make_gradient(on_host);
    CHECK_THROWS_AS(adamw.step(recorder, there, gradient_on_host), moe::value_error);
    CHECK_THROWS_AS(moe::gradient_norm(there, gradient), moe::value_error);
    CHECK_THROWS_AS(there.experts().up.assign(0, random_matrix(7, features, 1).view()), moe::value_error);
    adamw.step(recorder, there, gradient);
    auto back = moe::copy_to(reference, there);
    CHECK_THROWS_AS(adamw.step(back, gradient_on_host), moe::value_error);
}
