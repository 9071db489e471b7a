// expect: this selector lacks 'std::int64_t width(const moe::batch<T>&, moe::index_t experts) const'
#include "moe/moe.hpp"

struct bad_selector {
    using role = moe::selector_step;
    template <class B, class T>
    void forward(B&, const moe::routing<T>&, moe::choice) const {}
};
struct good_selector : bad_selector {
    template <class T>
    std::int64_t width(const moe::batch<T>&, moe::index_t) const {
        return 1;
    }
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
