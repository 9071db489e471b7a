// Every public part of docs/parts.md that has a role runs through the laws in this folder.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

std::string read(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

// The names in the first column of the rows that `wanted` accepts, below the heading.
template <class Wanted>
std::vector<std::string> names_below(const std::string& page, const std::string& heading, const Wanted& wanted) {
    std::vector<std::string> names;
    std::size_t at = page.find("## " + heading);
    REQUIRE(at != std::string::npos);
    const std::size_t stop = std::min(page.find("\n## ", at), page.size());
    while ((at = page.find("\n| `", at)) < stop) {
        const std::size_t cell = at + 3;
        const std::size_t end = page.find(" |", cell);
        const std::string row = page.substr(end, page.find('\n', end) - end);
        for (std::size_t i = cell; i < end && wanted(row);) {
            const std::size_t open = page.find('`', i);
            if (open >= end) break;
            const std::size_t close = page.find('`', open + 1);
            names.push_back(page.substr(open + 1, close - open - 1));
            i = close + 1;
        }
        at = end;
    }
    return names;
}

std::string lists() {
    const std::filesystem::path folder = std::filesystem::path(MOE_TEST_SOURCE_DIR) / "tests" / "testing";
    std::string all;
    for (const char* name :
         {"score_steps.cpp", "selectors.cpp", "route_steps.cpp", "routers.cpp", "parts.cpp", "banks.cpp", "layers.cpp",
          "losses.cpp"}) {
        all += read(folder / name);
    }
    return all;
}

bool stands_in(const std::string& text, const std::string& name) {
    const std::string word = "moe::" + name;
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
        const char behind = text[at + word.size()];
        if (!std::isalnum(static_cast<unsigned char>(behind)) && behind != '_') return true;
    }
    return false;
}

}  // namespace

TEST_CASE("no public part is left out of the laws") {
    const std::string page = read(std::filesystem::path(MOE_TEST_SOURCE_DIR) / "docs" / "parts.md");
    const std::string tested = lists();
    // Functions inside a bank, aliases of banks that are tried by another name, what only copies a recorded choice, and
    // losses of weights instead of routes.
    const std::set<std::string> others{"relu",
                                       "gelu",
                                       "gelu_tanh",
                                       "silu",
                                       "relu_squared",
                                       "identity_activation",
                                       "gated",
                                       "scaled_linear",
                                       "scaled_swiglu",
                                       "clamp_before_swiglu",
                                       "clamp_after_swiglu",
                                       "situ",
                                       "geglu_bank",
                                       "reglu_bank",
                                       "relu_bank",
                                       "gelu_bank",
                                       "silu_bank",
                                       "borrowed",
                                       "external",
                                       "recorded_choice",
                                       "router_coupling",
                                       "orthogonality"};
    std::vector<std::string> missing;
    std::size_t found = 0;
    const auto look = [&](const std::string& heading, const auto& wanted) {
        for (const std::string& name : names_below(page, heading, wanted)) {
            if (others.count(name) != 0) continue;
            ++found;
            if (!stands_in(tested, name)) missing.push_back(name);
        }
    };
    const auto every = [](const std::string&) { return true; };
    look("Gates, score steps, key steps", every);
    look("Selectors, route steps, plan", every);
    look("Experts, shared experts, combine, layers", every);
    look("Losses, balance, optimisers, schedules, metrics",
         [](const std::string& row) { return row.rfind(" | loss:", 0) == 0; });
    CHECK(missing == std::vector<std::string>{});
    CHECK(found > 80);
}
