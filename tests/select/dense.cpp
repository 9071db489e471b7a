#include "moe/select/dense.hpp"

#include "select/hand.hpp"

TEST_CASE("dense gives every expert its own slot, empty where it is excluded") {
    const double inf = std::numeric_limits<double>::infinity();
    const auto c = chosen_by(moe::dense{}, {{0, -3, 2}, {-inf, std::nan(""), inf}});
    CHECK(c.offset == ids{0, 3, 6});
    CHECK(c.expert == ids{0, 1, 2, -1, 1, 2});
}
