# SPDX-License-Identifier: Apache-2.0
# moe, installed: found by find_package with the dependencies of this machine, after its build tree is gone.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
install_moe("${DIR}/a")
file(REMOVE_RECURSE "${DIR}/moe")
file(RENAME "${DIR}/a" "${DIR}/b")  # and the prefix may be moved
consume(find_core "-Dmoe_ROOT=${DIR}/b")
consume(find_package "-Dmoe_ROOT=${DIR}/b")
