// tests/golden: what golden.hpp and compare.hpp need compiled only once
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"

#include <filesystem>
#include <stdexcept>

#include "moe/io/safetensors.hpp"

namespace golden {

namespace {

/// Of every case of a file, its facts and options.
moe::json_value description_of(const moe::safetensors_file& from) {
    const auto found = from.metadata().find("golden");
    if (found == from.metadata().end()) throw std::runtime_error(from.path() + ": has no metadata 'golden'");
    return moe::parse_json(found->second, from.path());
}

std::map<std::string, std::string> cases_of(const std::string& folder) {
    std::map<std::string, std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".safetensors") continue;
        const moe::safetensors_file from(entry.path().string());
        const moe::json_value cases = description_of(from);
        for (const auto& [name, words] : cases.items()) {
            const bool fresh = all.emplace(name, from.path()).second;
            if (!fresh) throw std::runtime_error(from.path() + ": case " + name + " again");
        }
        for (const auto& t : from.tensors()) {
            if (!cases.contains(t.name.substr(0, t.name.find('/')))) {
                throw std::runtime_error(t.where() + ": is of no case");
            }
        }
    }
    return all;
}

tensor values_of(const moe::stored_tensor& from) {
    tensor t{{from.shape.begin(), from.shape.end()}, std::vector<double>(from.rows() * from.cols())};
    if (from.type == moe::stored_type::i32) {
        std::vector<std::int32_t> integers(t.values.size());
        from.read(std::span(integers));
        t.values.assign(integers.begin(), integers.end());
    } else if (from.type == moe::stored_type::f32 || from.type == moe::stored_type::f64) {
        from.read(std::span(t.values));
    } else {
        throw std::runtime_error(from.where() + ": wanted F32, F64 or I32");
    }
    return t;
}

}  // namespace

const std::map<std::string, std::string>& places(const std::string& folder) {
    static std::map<std::string, std::map<std::string, std::string>> known;
    const auto found = known.find(folder);
    return found != known.end() ? found->second : known.emplace(folder, cases_of(folder)).first->second;
}

file::file(const std::string& folder, const std::string& name) : name_(name) {
    const auto place = places(folder).find(name);
    if (place == places(folder).end()) fail("is in no file of " + folder);
    const moe::safetensors_file from(place->second);
    const moe::json_value cases = description_of(from);
    for (const auto& [key, value] : cases.at(name).items()) facts_[key] = value.get<std::string>();
    for (const auto& t : from.tensors()) {
        if (t.name.rfind(name + "/", 0) == 0) tensors_[t.name.substr(name.size() + 1)] = values_of(t);
    }
}

const tensor& file::operator[](const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) fail("has no tensor '" + name + "'");
    return found->second;
}

const std::string& file::fact(const std::string& key) const {
    const auto found = facts_.find(key);
    if (found == facts_.end()) fail("has no option '" + key + "'");
    return found->second;
}

void file::fail(const std::string& what) const { throw std::runtime_error("golden " + name_ + ": " + what); }

void require_equal(std::size_t got, std::size_t want) { REQUIRE(got == want); }

std::string bound_name(const std::vector<binding>& bindings, const std::string& path) {
    const binding* best = nullptr;
    for (const auto& b : bindings) {
        const std::string end = b.path;
        const bool fits = path.size() >= end.size() && path.compare(path.size() - end.size(), end.size(), end) == 0 &&
                          (path.size() == end.size() || path[path.size() - end.size() - 1] == '.');
        if (fits && (best == nullptr || end.size() > std::string(best->path).size())) best = &b;
    }
    INFO("the parameter " << path << " of the layer");
    REQUIRE(best != nullptr);
    return best->name;
}

tensor stacked(tensor first, const tensor& second) {
    REQUIRE(first.columns() == second.columns());
    first.dims[0] += second.dims[0];
    first.values.insert(first.values.end(), second.values.begin(), second.values.end());
    return first;
}

void check(const file& g, const outcome& o, double tolerance, const std::vector<std::string>& left_out) {
    CHECK(o.taped_equals_inference);
    for (const auto& [name, got] : o.results) {
        INFO(name);
        const auto& want = g[name].values;
        REQUIRE(got.size() == want.size());
        if (name == "expert") {
            CHECK(got == want);
            continue;
        }
        CHECK(relative_error(moe::matrix_view<const double>(got.data(), 1, index(got.size())),
                             moe::matrix_view<const double>(want.data(), 1, index(want.size()))) <= tolerance);
    }
    for (const auto& [name, t] : g.tensors()) {
        const bool gradient = name.rfind("d_", 0) == 0;
        if (!gradient || std::find(left_out.begin(), left_out.end(), name) != left_out.end()) continue;
        INFO(name);
        CHECK(o.results.count(name) == 1);
    }
}

}  // namespace golden
