// core/tensor_ref: one parameter behind one type: what it is called, its shape, and how to read and set it in row-major order
// SPDX-License-Identifier: Apache-2.0
//
// For what handles every tensor alike (files, run-time layers, printing). The elements are seen in row-major order,
// without the padding of panels, whatever the layout in memory.
#pragma once

#include <array>
#include <string>

#include "moe/core/parameter.hpp"

MOE_BEGIN

// From first_codes on: bytes of quantised weights as stored, a number for every format.
enum class scalar_type : std::uint8_t { float32 = 1, float64 = 2, bfloat16 = 3, float16 = 4, first_codes = 128 };

template <class T>
inline constexpr int codes_type = 0;
template <class Format>
inline constexpr int codes_type<code_byte<Format>> =
    128 + Format::group / 32 +
    8 * (Format::bits == 1 ? 4 : Format::ternary ? (Format::in_byte == 5 ? 3 : 0) : Format::bits / 4) +
    (Format::zero_points ? 64 : 0);

template <class T>
constexpr scalar_type scalar_type_of() {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || is_half<T> || codes_type<T> != 0,
                  "moe: parameters are float or double, weights may be bfloat16, float16 or codes");
    if constexpr (codes_type<T> != 0) return static_cast<scalar_type>(codes_type<T>);
    else if constexpr (std::is_same_v<T, bfloat16>) return scalar_type::bfloat16;
    else if constexpr (std::is_same_v<T, float16>) return scalar_type::float16;
    else return std::is_same_v<T, float> ? scalar_type::float32 : scalar_type::float64;
}

constexpr std::size_t size_of(scalar_type type) {
    if (type >= scalar_type::first_codes) return 1;
    return type == scalar_type::float64 ? 8 : type == scalar_type::float32 ? 4 : 2;
}
// "float32"; "codes of 4 bits, a scale for 32 inputs, zero points"
inline std::string name_of(scalar_type type) {
    constexpr const char* names[] = {"float32", "float64", "bfloat16", "float16"};
    const int number = static_cast<int>(type), code = number - static_cast<int>(scalar_type::first_codes);
    if (number >= 1 && number <= 4) return names[number - 1];
    if (code < 0) return std::string("type ") + std::to_string(number);
    const int group = 32 * (code % 8);
    const int width = code / 8 % 8;
    const bool zero_points = code >= 64;
    const std::string codes = width == 0   ? std::string(zero_points ? "codes of 2" : "ternary codes of 2")
                              : width == 3 ? std::string("ternary codes of 1.6")
                              : width == 4 ? std::string("codes of 1")
                                           : std::string("codes of ") + std::to_string(4 * width);
    return codes + " bits, a scale for " +
           (group == 0 ? std::string("whole rows") : std::to_string(group) + " inputs") +
           (zero_points ? ", zero points" : "");
}

struct tensor_shape {
    std::array<index_t, 3> dims{};
    std::size_t rank = 0;

    std::size_t elements() const {
        std::size_t n = 1;
        for (std::size_t i = 0; i < rank; ++i) n *= static_cast<std::size_t>(dims[i]);
        return n;
    }
    std::string text() const {
        std::string s = "[";
        for (std::size_t i = 0; i < rank; ++i) s += (i == 0 ? "" : ", ") + std::to_string(dims[i]);
        return s + "]";
    }
    friend bool operator==(const tensor_shape&, const tensor_shape&) = default;
};

template <class T, index_t together>
tensor_shape shape_of(const panels<T, together>& p) {
    return {{p.groups(), p.outputs(), p.inputs()}, 3};
}
// Bytes as stored: [experts, panels, bytes of a panel].
template <class Format>
tensor_shape shape_of(const quantized_panels<Format>& p) {
    return {{p.groups(), p.panel_count(), static_cast<index_t>(p.panel_bytes())}, 3};
}
template <class W>
tensor_shape shape_of(const mastered<W>& w) {
    return shape_of(w.masters());
}
template <class T>
tensor_shape shape_of(const matrix<T>& m) {
    return {{m.rows(), m.cols(), 0}, 2};
}
template <class T>
    requires std::is_arithmetic_v<T>
tensor_shape shape_of(const T&) {
    return {};
}
template <class C>
    requires(!std::is_arithmetic_v<C>) && requires(const C& c) { c.data(), c.size(); }
tensor_shape shape_of(const C& values) {
    return {{checked_index(values.size(), "parameter"), 0, 0}, 1};
}

namespace detail {

template <class Tensor, class T>
void read_tensor(const Tensor& tensor, T* out) {
    const auto values = flat(tensor);
    std::copy(values.begin(), values.end(), out);
}
template <class Tensor, class T>
void set_tensor(Tensor& tensor, const T* in) {
    const auto values = flat(tensor);
    std::copy(in, in + values.size(), values.begin());
}
template <class T, index_t together>
void read_tensor(const panels<T, together>& p, T* out) {
    const std::size_t size = std::size_t(p.outputs()) * std::size_t(p.inputs());
    for (index_t g = 0; g < p.groups(); ++g) {
        p.read(g, matrix_view<T>{out + std::size_t(g) * size, p.outputs(), p.inputs()});
    }
}
template <class T, index_t together>
void set_tensor(panels<T, together>& p, const T* in) {
    const std::size_t size = std::size_t(p.outputs()) * std::size_t(p.inputs());
    for (index_t g = 0; g < p.groups(); ++g) {
        p.assign(g, matrix_view<const T>{in + std::size_t(g) * size, p.outputs(), p.inputs()});
    }
}

template <class W>
void read_tensor(const mastered<W>& w, float* out) {
    read_tensor(w.masters(), out);
}
template <class W>
void set_tensor(mastered<W>& w, const float* in) {
    set_tensor(w.masters(), in);
    w.changed();
}

// Calls f with the tensor, or with a copy where the host reads it.
template <class Tensor, class F>
void look(const Tensor& tensor, const F& f) {
    if constexpr (has_space<Tensor>) {
        if (!tensor.space().host_readable) {
            Tensor copy = tensor;
            copy.move_to(host_space);
            return f(copy);
        }
    }
    f(tensor);
}
template <class Tensor, class F>
void change(Tensor& tensor, const F& f) {
    if constexpr (has_space<Tensor>) on_host(tensor, f);
    else f(tensor);
}

}  // namespace detail

class tensor_ref {
public:
    template <class Tensor>
    explicit tensor_ref(Tensor& tensor) : shape_(shape_of(tensor)), object_(&tensor) {
        using T = typename decltype(flat(tensor))::value_type;
        type_ = scalar_type_of<T>();
        read_ = [](const void* object, void* out) {
            detail::look(*static_cast<const Tensor*>(object),
                         [out](const Tensor& t) { detail::read_tensor(t, static_cast<T*>(out)); });
        };
        set_ = [](void* object, const void* in) {
            detail::change(*static_cast<Tensor*>(object),
                           [in](Tensor& t) { detail::set_tensor(t, static_cast<const T*>(in)); });
        };
        changed_ = [](void* object) {
            detail::change(*static_cast<Tensor*>(object), [](Tensor& t) { elements_changed(t); });
        };
    }

    scalar_type type() const { return type_; }
    const tensor_shape& shape() const { return shape_; }
    std::size_t bytes() const { return shape_.elements() * size_of(type_); }
    void read(void* out) const { read_(object_, out); }
    void set(const void* in) const { set_(object_, in); }
    // Elements of flat(tensor) were written.
    void changed() const { changed_(object_); }

private:
    tensor_shape shape_;
    scalar_type type_ = scalar_type::float32;
    void* object_;
    void (*read_)(const void*, void*) = nullptr;
    void (*set_)(void*, const void*) = nullptr;
    void (*changed_)(void*) = nullptr;
};

// What stands for elements whose type is only known at run time: bytes for codes of any format, which ref knows.
template <class E>
using any_element = std::conditional_t<codes_type<E> != 0, unsigned char, E>;

// A tensor of a layer whose type is only known at run time: its elements as stored, and its shape.
template <class T>
struct any_tensor {
    std::span<T> values;
    tensor_ref ref;

    void changed() const { ref.changed(); }

    template <class Tensor>
    static any_tensor of(Tensor& tensor) {
        const auto elements = flat(tensor);
        return {{reinterpret_cast<T*>(elements.data()), elements.size()}, tensor_ref(tensor)};
    }
};

template <class T>
std::span<T> flat(const any_tensor<T>& tensor) {
    return tensor.values;
}

// Calls f(name, tensor_ref) for every parameter and then every state of a model.
template <class Model, class F>
void for_each_tensor(Model& model, const F& f) {
    const auto call = [&](const parameter_name& name, auto& tensor) {
        if constexpr (requires { tensor.ref; }) f(name, tensor.ref);
        else f(name, tensor_ref(tensor));
    };
    visit_parameters(call, model);
    visit_state(call, model);
}

MOE_END
