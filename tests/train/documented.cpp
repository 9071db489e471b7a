// The table of docs/losses.md: every loss is in it, and its values at balance are those that the losses return.
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "moe/train/binary_match.hpp"
#include "moe/train/group_mutual_information.hpp"
#include "moe/train/importance_cv2.hpp"
#include "moe/train/match_routing.hpp"
#include "moe/train/mean_entropy.hpp"
#include "moe/train/router_similarity.hpp"
#include "moe/train/soft_balance.hpp"
#include "moe/train/tsallis_entropy.hpp"
#include "train/losses.hpp"

namespace {

using run = std::function<double(moe::reference&, moe::tape<double>&)>;

template <class Loss>
run of(const Loss& loss) {
    return [loss](moe::reference& b, moe::tape<double>& tape) { return loss(b, tape); };
}

std::map<std::string, run> documented() {
    const auto even = [](moe::tape<double>& tape) {
        moe::matrix<double> q(tape.in().tokens(), tape.routing().experts);
        std::fill(q.data(), q.data() + q.size(), 1.0 / tape.routing().experts);
        return q;
    };
    return {
        {"`load_balance`", of(moe::load_balance{})},
        {"`load_balance` `.divide_by = tokens`", of(moe::load_balance{.divide_by = moe::load_normaliser::tokens})},
        {"`load_balance` `.scope = sequence`", of(moe::load_balance{.scope = moe::loss_scope::sequence})},
        {"`load_balance` `.groups = D`", of(moe::load_balance{.groups = 2})},
        {"`soft_balance`", of(moe::soft_balance{})},
        {"`importance_cv2`", of(moe::importance_cv2{})},
        {"`z_loss`", of(moe::z_loss{})},
        {"`token_entropy`", of(moe::token_entropy{})},
        {"`mean_entropy`", of(moe::mean_entropy{})},
        {"`mean_entropy` `.at_least = ln 3`", of(moe::mean_entropy{.at_least = std::log(3.0)})},
        {"`expected_cost` `.cost = {2, 3, 4, 5}`", [](auto& b, auto& tape) {
             const double cost[] = {2, 3, 4, 5};
             return moe::expected_cost{.cost = cost}(b, tape);
         }},
        {"`tsallis_entropy`", of(moe::tsallis_entropy{})},
        {"`tsallis_entropy` `.q = 2, .normalised = false`", of(moe::tsallis_entropy{.q = 2.0, .normalised = false})},
        {"`group_mutual_information`", of(moe::group_mutual_information{.groups = 2})},
        {"`router_similarity`", of(moe::router_similarity{})},
        {"`match_routing`", [even](auto& b, auto& tape) { return moe::match_routing{}(b, tape, even(tape)); }},
        {"`binary_match`", [even](auto& b, auto& tape) { return moe::binary_match{}(b, tape, even(tape)); }},
    };
}

std::string text_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::stringstream all;
    all << in.rdbuf();
    return all.str();
}

const std::filesystem::path root = MOE_TEST_SOURCE_DIR;

}  // namespace

TEST_CASE("the values at balance in docs/losses.md are those that the losses return") {
    auto runs = documented();
    moe::reference b;
    moe::tape<double> tape;
    const losses::even_batch<double> even(6, 4, 2);
    const std::vector<losses::index_t> label{0, 1, 0, 1, 0, 1};
    moe::batch<double> in = even.in;
    in.label = label;
    std::istringstream lines(text_of(root / "docs/losses.md"));
    std::size_t rows = 0;
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("| `", 0) != 0) continue;
        std::vector<std::string> cells;
        std::istringstream parts(line.substr(2));
        for (std::string cell; std::getline(parts, cell, '|');) {
            cells.push_back(cell.substr(std::min(cell.size(), cell.find_first_not_of(' '))));
            cells.back().erase(cells.back().find_last_not_of(' ') + 1);
        }
        if (cells.size() != 5 || cells[4] == "-") continue;
        INFO(cells[0]);
        REQUIRE(runs.count(cells[0]) == 1);
        losses::record(b, losses::layer_of<double>(4, 2), in, tape);
        CHECK(runs.at(cells[0])(b, tape) == Approx(std::stod(cells[4])).epsilon(1e-6).margin(1e-12));
        runs.erase(cells[0]);
        ++rows;
    }
    CHECK(rows == 17);
    CHECK(runs.empty());
}

TEST_CASE("every loss is in docs/losses.md") {
    const std::string text = text_of(root / "docs/losses.md");
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(root / "include/moe/train")) {
        if (text_of(entry.path()).rfind("// train/loss:", 0) != 0) continue;
        INFO(entry.path().stem().string());
        CHECK(text.find("`" + entry.path().stem().string() + "`") != std::string::npos);
        ++found;
    }
    CHECK(found >= 14);
}
