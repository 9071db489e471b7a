# SPDX-License-Identifier: Apache-2.0
# The page docs/write-a-router.md shows this program's code and its report, word for word.
get_filename_component(ROOT "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
set(PROGRAM "${CUSTOM_ROUTER}")
include("${ROOT}/tests/docs/snippets.cmake")
