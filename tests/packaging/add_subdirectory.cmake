# SPDX-License-Identifier: Apache-2.0
# moe as a folder of somebody's project; nothing of moe's own tests is built.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
consume(add_subdirectory)
