// io: a model with its weights as kernels read them, saved so that a file is mapped instead of read
// SPDX-License-Identifier: Apache-2.0
//
//     save_packed(path, model)     writes every parameter and state, panels as they lie in memory
//     map_packed(path, model)      the panels of a model of the same shape become the file's pages
//
// Opening costs no copy: pages come from the disk when they are first touched, programs share them, and writing to a
// weight copies its page for this process alone, never into the file. Panels have the same layout on every instruction
// set. For decoding at full speed `copy_to(moe::cpu{}, model)` takes the weights into memory with large pages. Where
// the system maps no files they are read. Masters (bf16_with_masters) are saved as floats and packed when loaded.
//
//     8 bytes    "moepack\n"   4 bytes  format version, 1   4 bytes  number of tensors   8 bytes  end of header
//     a tensor   4 bytes length of its name, the name, 1 byte scalar (as in save.hpp), 1 byte inputs side by side in
//                panels (0: row-major), 1 byte rank, 4 bytes for each dimension, 8 bytes place, 8 bytes size
//     8 bytes    FNV-1a of the header before it; the contents follow, each at a multiple of 65536
//
// errors        io_error as load, before anything is set. Contents have no checksum: that would read them all
#pragma once

#include "moe/io/mapped_file.hpp"
#include "moe/io/save.hpp"

MOE_BEGIN

namespace detail {

inline constexpr char packed_magic[8] = {'m', 'o', 'e', 'p', 'a', 'c', 'k', '\n'};
inline constexpr std::uint64_t packed_alignment = 65536;  // a multiple of every page size

inline std::uint64_t next_place(std::uint64_t end) {
    return (end + packed_alignment - 1) / packed_alignment * packed_alignment;
}

template <class Tensor>
inline constexpr index_t inputs_together = 0;
template <class T, index_t together>
inline constexpr index_t inputs_together<panels<T, together>> = together;
template <class Format>
inline constexpr index_t inputs_together<quantized_panels<Format>> = Format::together;

template <class Tensor>
tensor_ref ref_of(Tensor& tensor) {
    if constexpr (requires { tensor.ref; }) return tensor.ref;
    else return tensor_ref(tensor);
}

template <class Tensor>
std::uint64_t packed_bytes(Tensor& tensor) {
    if constexpr (inputs_together<Tensor> > 0) return tensor.span().size_bytes();
    else return ref_of(tensor).bytes();
}

// f(name, tensor) for every parameter and state, with their types.
template <class Model, class F>
void visit_all(Model& model, const F& f) {
    visit_parameters(f, model);
    visit_state(f, model);
}

// What the header says of one tensor, but its place.
template <class Tensor>
void describe(std::vector<unsigned char>& out, const std::string& name, Tensor& tensor) {
    const tensor_ref ref = ref_of(tensor);
    append(out, static_cast<std::uint32_t>(name.size()));
    out.insert(out.end(), name.begin(), name.end());
    out.push_back(static_cast<unsigned char>(ref.type()));
    out.push_back(static_cast<unsigned char>(inputs_together<Tensor>));
    out.push_back(static_cast<unsigned char>(ref.shape().rank));
    for (std::size_t i = 0; i < ref.shape().rank; ++i) append(out, ref.shape().dims[i]);
}

#if defined(MOE_MAPS_FILES)

// Pages of a file or, for copies, of nothing; written pages belong to this process.
struct mapped_memory : host_memory {
    static void* map(int file, std::uint64_t place, std::size_t bytes) {
        const int flags = MAP_PRIVATE | (file < 0 ? MAP_ANONYMOUS : 0);
        void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file, static_cast<off_t>(place));
        if (p == MAP_FAILED) throw std::bad_alloc();
        return p;
    }
    static void* allocate(std::size_t bytes) { return map(-1, 0, bytes); }
    static void release(void* p, std::size_t bytes) noexcept { ::munmap(p, bytes); }
};

// Opened once for all tensors.
class packed_source {
public:
    explicit packed_source(const std::string& path) : whole_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (file_ < 0) throw io_error(wanted_got(path, "a file that can be read", std::strerror(errno)));
    }
    packed_source(const packed_source&) = delete;
    ~packed_source() { ::close(file_); }

    std::span<const unsigned char> bytes() const { return whole_.bytes(); }
    template <class T>
    buffer<T> elements(std::uint64_t place, std::size_t count) const {
        if (count == 0) return {};
        return {static_cast<T*>(mapped_memory::map(file_, place, count * sizeof(T))), count, space_of<mapped_memory>};
    }

private:
    mapped_file whole_;
    int file_;
};

#else

class packed_source {
public:
    explicit packed_source(const std::string& path) : whole_(path) {}

    std::span<const unsigned char> bytes() const { return whole_.bytes(); }
    template <class T>
    buffer<T> elements(std::uint64_t place, std::size_t count) const {
        buffer<T> read(count);
        if (count != 0) std::memcpy(read.data(), bytes().data() + place, count * sizeof(T));
        return read;
    }

private:
    mapped_file whole_;
};

#endif

// The places of the tensors of `model`, in visit order, if the header describes just them.
template <class Model>
std::vector<std::uint64_t> packed_places(const packed_source& source, const std::string& path, Model& model) {
    const std::span<const unsigned char> all = source.bytes();
    file_reader start(all, path);
    const auto magic = start.take(8, "header");
    if (!std::equal(magic.begin(), magic.end(), packed_magic)) {
        start.fail("header", "a file of save_packed", "another file");
    }
    const auto version = start.number<std::uint32_t>("format version");
    if (version != 1) start.fail("format version", "1", std::to_string(version));
    const auto count = start.number<std::uint32_t>("number of tensors");
    const auto end = start.number<std::uint64_t>("end of header");
    if (end < 32 || end > all.size()) start.fail("end of header", "a place in the file", std::to_string(end));
    const auto header = all.first(static_cast<std::size_t>(end));
    file_reader sum(header.last(8), path);
    if (sum.number<std::uint64_t>("checksum") != fnv1a(header.first(header.size() - 8))) {
        start.fail("header", "its checksum", "a damaged header");
    }
    file_reader reader(header.first(header.size() - 8), path);
    (void)reader.take(24, "header");
    std::vector<std::uint64_t> places;
    visit_all(model, [&](const parameter_name& name, auto& tensor) {
        const std::string text = name.text();
        std::vector<unsigned char> wanted;
        describe(wanted, text, tensor);
        const auto found = reader.take(std::min(wanted.size(), reader.left()), text);
        if (!std::equal(found.begin(), found.end(), wanted.begin(), wanted.end())) {
            const std::string shape = ref_of(tensor).shape().text();
            reader.fail(text, "this tensor with its type, layout and shape " + shape, "another");
        }
        const auto place = reader.number<std::uint64_t>(text);
        const auto bytes = reader.number<std::uint64_t>(text);
        const std::uint64_t expected = packed_bytes(tensor);
        if (bytes != expected) reader.fail(text, std::to_string(expected) + " bytes", std::to_string(bytes));
        if (place % packed_alignment != 0 || place > all.size() || bytes > all.size() - place) {
            reader.fail(text, "contents in the file", "a place outside of it");
        }
        places.push_back(place);
    });
    if (places.size() != count || reader.left() != 0) {
        start.fail("number of tensors", std::to_string(places.size()), std::to_string(count));
    }
    return places;
}

}  // namespace detail

template <class Model>
void save_packed(const std::string& path, Model& model) {
    std::vector<unsigned char> header(detail::packed_magic, detail::packed_magic + 8);
    std::uint32_t count = 0;
    std::size_t size = 32;
    detail::visit_all(model, [&](const parameter_name& name, auto& tensor) {
        std::vector<unsigned char> description;
        detail::describe(description, name.text(), tensor);
        size += description.size() + 16;
        ++count;
    });
    detail::append(header, std::uint32_t{1});
    detail::append(header, count);
    detail::append(header, std::uint64_t{size});
    detail::unfinished_file out(path);
    std::uint64_t end = size;
    detail::visit_all(model, [&](const parameter_name& name, auto& tensor) {
        using Tensor = std::remove_reference_t<decltype(tensor)>;
        const std::uint64_t place = detail::next_place(end);
        const std::uint64_t bytes = detail::packed_bytes(tensor);
        detail::describe(header, name.text(), tensor);
        detail::append(header, place);
        detail::append(header, bytes);
        end = place + bytes;
        if constexpr (detail::inputs_together<Tensor> > 0) {
            detail::require_host(name.text(), tensor.space());
            const auto* first = reinterpret_cast<const unsigned char*>(tensor.span().data());
            out.write(place, {first, static_cast<std::size_t>(bytes)});
        } else {
            std::vector<double> values(static_cast<std::size_t>(bytes / sizeof(double) + 1));
            detail::ref_of(tensor).read(values.data());
            out.write(place, {reinterpret_cast<const unsigned char*>(values.data()), static_cast<std::size_t>(bytes)});
        }
    });
    detail::append(header, detail::fnv1a(header));
    out.write(0, header);
    out.keep();
}

template <class Model>
void map_packed(const std::string& path, Model& model) {
    const detail::packed_source source(path);
    const std::vector<std::uint64_t> places = detail::packed_places(source, path, model);
    std::size_t next = 0;
    detail::visit_all(model, [&](const parameter_name&, auto& tensor) {
        using Tensor = std::remove_reference_t<decltype(tensor)>;
        const std::uint64_t place = places[next++];
        if constexpr (detail::inputs_together<Tensor> > 0) {
            tensor.adopt(source.template elements<typename Tensor::value_type>(place, tensor.span().size()));
        } else {
            const std::size_t bytes = static_cast<std::size_t>(detail::packed_bytes(tensor));
            std::vector<double> values(bytes / sizeof(double) + 1);
            if (bytes != 0) std::memcpy(values.data(), source.bytes().data() + place, bytes);
            detail::ref_of(tensor).set(values.data());
        }
    });
}

MOE_END
