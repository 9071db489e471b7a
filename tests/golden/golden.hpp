// tests/golden: ARCHITECTURE.safetensors -> the named tensors of a case, made by the real PyTorch classes
// SPDX-License-Identifier: Apache-2.0
//
// Reads the layout of README.md with the library's own reader. Values of every stored type become double (a 32-bit
// integer and a float fit exactly). Throws std::runtime_error naming file, case or tensor: a file that is malformed,
// has no description of its cases, or holds a tensor of none of them or of another type; a case in no file, or in two.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace golden {

struct tensor {
    std::vector<std::size_t> dims;
    std::vector<double> values;

    std::size_t rows() const { return dims.empty() ? 0 : dims[0]; }
    std::size_t columns() const { return rows() == 0 ? 0 : values.size() / rows(); }
};

/// The file of every case of a folder, by the name of the case; the folder is read once.
const std::map<std::string, std::string>& places(const std::string& folder);

class file {
public:
    file(const std::string& folder, const std::string& name);

    bool has(const std::string& name) const { return tensors_.count(name) != 0; }
    const tensor& operator[](const std::string& name) const;
    const std::string& fact(const std::string& key) const;
    bool states(const std::string& key) const { return facts_.count(key) != 0; }
    double number(const std::string& key) const { return std::stod(fact(key)); }
    const std::map<std::string, tensor>& tensors() const { return tensors_; }

    /// Adds or replaces a tensor: for a layer that stores in one what the golden has in several.
    void put(const std::string& name, tensor t) { tensors_[name] = std::move(t); }

private:
    [[noreturn]] void fail(const std::string& what) const;

    std::string name_;
    std::map<std::string, std::string> facts_;
    std::map<std::string, tensor> tensors_;
};

}  // namespace golden
