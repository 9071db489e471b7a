# SPDX-License-Identifier: Apache-2.0
# moe through FetchContent.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
consume(fetch_content)
