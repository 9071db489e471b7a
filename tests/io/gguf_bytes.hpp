// tests/io: GGUF files made by hand
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

// Puts together what it is told to, right or wrong.
class gguf_bytes {
public:
    std::string magic = "GGUF";
    std::uint32_t version = 3;
    std::uint64_t alignment = 32;
    std::uint64_t more_tensors = 0, more_values = 0;  // than there are
    std::string data;

    template <class N>
    static std::string number(N n) {
        return {reinterpret_cast<const char*>(&n), sizeof n};
    }
    static std::string text(const std::string& s) { return number<std::uint64_t>(s.size()) + s; }

    gguf_bytes& value(const std::string& key, std::uint32_t type, const std::string& bytes) {
        values_.push_back(text(key) + number(type) + bytes);
        return *this;
    }
    gguf_bytes& u32(const std::string& key, std::uint32_t n) { return value(key, 4, number(n)); }
    gguf_bytes& string(const std::string& key, const std::string& s) { return value(key, 8, text(s)); }
    // Dimensions as the format has them: columns first.
    gguf_bytes& tensor(const std::string& name, std::vector<std::uint64_t> dims, std::uint32_t type,
                       std::uint64_t offset) {
        std::string t = text(name) + number<std::uint32_t>(static_cast<std::uint32_t>(dims.size()));
        for (const std::uint64_t d : dims) t += number(d);
        tensors_.push_back(t + number(type) + number(offset));
        return *this;
    }
    // F32 tensors behind one another.
    gguf_bytes& floats(const std::string& name, std::vector<std::uint64_t> dims, const std::vector<float>& content) {
        tensor(name, std::move(dims), 0, data.size());
        data.append(reinterpret_cast<const char*>(content.data()), content.size() * sizeof(float));
        data.resize((data.size() + alignment - 1) / alignment * alignment);
        return *this;
    }

    std::string bytes() const {
        std::string out = magic + number(version);
        out += number(tensors_.size() + more_tensors) + number(values_.size() + more_values);
        for (const auto& v : values_) out += v;
        for (const auto& t : tensors_) out += t;
        out.resize((out.size() + alignment - 1) / alignment * alignment);
        return out + data;
    }

private:
    std::vector<std::string> values_, tensors_;
};
