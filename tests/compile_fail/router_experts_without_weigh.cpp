// expect: so it needs 'weigh(B&, const moe::routing<T>&, std::span<T>) const' and its backward
#include "moe/moe.hpp"

struct good_selector {
    using role = moe::selector_step;
    template <class T>
    std::int64_t width(const moe::batch<T>&, moe::index_t) const {
        return 1;
    }
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::choice) const {}
};
struct bad_selector : good_selector {
    moe::index_t experts(moe::index_t columns) const { return columns * columns; }
};

int main() {
#ifdef MOE_COMPILE_OK
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, good_selector{}};
    (void)r;
#else
    auto r = moe::router{moe::linear_gate<float>{{.features = 4, .experts = 4}}, bad_selector{}};
    (void)r;
#endif
}
