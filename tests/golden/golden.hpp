// tests/golden: data/NAME.txt and data/NAME.bin -> named tensors made by the real PyTorch classes
// SPDX-License-Identifier: Apache-2.0
//
// Reads the format of README.md. Values of every stored type become double (a 32-bit integer and a float fit exactly).
// Throws std::runtime_error naming file and line or tensor on anything malformed: wrong version, unknown type, a tensor
// twice, values outside of the .bin file, a .bin file of another length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace golden {

struct tensor {
    std::string type;
    std::vector<std::size_t> dims;
    std::vector<double> values;

    std::size_t rows() const { return dims.empty() ? 0 : dims[0]; }
    std::size_t columns() const { return rows() == 0 ? 0 : values.size() / rows(); }
};

class file {
public:
    file(const std::string& folder, const std::string& name) : name_(name) {
        std::ifstream index(folder + "/" + name + ".txt"), blob(folder + "/" + name + ".bin", std::ios::binary);
        if (!index || !blob) {
            fail("cannot open " + folder + "/" + name + ".txt and .bin");
        }
        const std::vector<char> bytes{std::istreambuf_iterator<char>(blob), std::istreambuf_iterator<char>()};
        std::string line;
        if (!std::getline(index, line) || line != "moe-golden 1") {
            fail("wanted first line 'moe-golden 1', got '" + line + "'");
        }
        bool ended = false;
        while (!ended && std::getline(index, line)) {
            std::istringstream words(line);
            std::string word;
            words >> word;
            if (word == "tensor") {
                add(words, bytes, line);
            } else if (word == "end") {
                std::size_t size = 0;
                ended = (words >> size) && size == bytes.size();
                if (!ended) {
                    fail("wanted " + std::to_string(bytes.size()) + " bytes (the size of .bin), got '" + line + "'");
                }
            } else {
                std::string key = word, value;
                if (word == "option") {
                    words >> key;
                }
                std::getline(words >> std::ws, value);
                facts_[key] = value;
            }
        }
        if (!ended || facts_["case"] != name) {
            fail("the index is cut short or belongs to case '" + facts_["case"] + "'");
        }
    }

    bool has(const std::string& name) const { return tensors_.count(name) != 0; }

    const tensor& operator[](const std::string& name) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end()) {
            fail("has no tensor '" + name + "'");
        }
        return found->second;
    }

    const std::string& fact(const std::string& key) const {
        const auto found = facts_.find(key);
        if (found == facts_.end()) {
            fail("has no option '" + key + "'");
        }
        return found->second;
    }

    bool states(const std::string& key) const { return facts_.count(key) != 0; }
    double number(const std::string& key) const { return std::stod(fact(key)); }
    const std::map<std::string, tensor>& tensors() const { return tensors_; }

    /// Adds or replaces a tensor: for a layer that stores in one what the golden has in several.
    void put(const std::string& name, tensor t) { tensors_[name] = std::move(t); }

private:
    void add(std::istringstream& words, const std::vector<char>& bytes, const std::string& line) {
        std::string name;
        std::size_t offset = 0, rank = 0, count = 1;
        tensor t;
        words >> name >> t.type >> offset >> rank;
        t.dims.resize(words && rank <= 4 ? rank : 0);
        for (auto& dim : t.dims) {
            words >> dim;
            count *= dim;
        }
        const std::size_t size = t.type == "f64" ? 8 : t.type == "f32" || t.type == "i32" ? 4 : 0;
        if (!words || rank > 4 || size == 0 || offset > bytes.size() || count > (bytes.size() - offset) / size) {
            fail("wanted 'tensor NAME f32|f64|i32 OFFSET RANK DIM...' within the .bin file, got '" + line + "'");
        }
        t.values.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            t.values.push_back(value(t.type, bytes.data() + offset + i * size, size));
        }
        if (!tensors_.emplace(name, std::move(t)).second) {
            fail("holds tensor '" + name + "' twice");
        }
    }

    static double value(const std::string& type, const char* little_endian, std::size_t size) {
        std::uint64_t bits = 0;
        for (std::size_t b = 0; b < size; ++b) {
            bits |= std::uint64_t{static_cast<unsigned char>(little_endian[b])} << (8 * b);
        }
        if (type == "f64") {
            return as<double>(bits);
        }
        const auto low = static_cast<std::uint32_t>(bits);
        return type == "f32" ? static_cast<double>(as<float>(low)) : static_cast<double>(as<std::int32_t>(low));
    }

    template <class To, class From>
    static To as(From bits) {
        static_assert(sizeof(To) == sizeof(From));
        To result;
        std::memcpy(&result, &bits, sizeof result);
        return result;
    }

    [[noreturn]] void fail(const std::string& what) const { throw std::runtime_error("golden " + name_ + ": " + what); }

    std::string name_;
    std::map<std::string, std::string> facts_;
    std::map<std::string, tensor> tensors_;
};

}  // namespace golden
