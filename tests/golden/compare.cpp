// tests/golden: what compare.hpp needs compiled only once
// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"

namespace golden {

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
