# SPDX-License-Identifier: Apache-2.0
# cmake -DROOT=checkout -DDIR=scratch -P traps_self_test.cmake: traps.cmake names each fault planted in the page.
cmake_minimum_required(VERSION 3.22...3.31)
set(page tests/traps.md)
set(script traps.cmake)
include("${CMAKE_CURRENT_LIST_DIR}/plant.cmake")

plant("a row that is gone" "\n| 7 |" "\n7 |" "wanted row 7, got row 8")
plant("the last row is gone" "\n| 25 |" "\n25 |" "wanted 25 numbered rows, got 24")
plant("a test of another name" "a large bias leaves" "a small bias leaves" "selection_bias.cpp has no .*a small bias leaves")
plant("a file that does not exist" "`score/sigmoid.cpp`" "`score/sigmoids.cpp`" "score/sigmoids.cpp has no")
plant("a row without a test" "`gate/gates.cpp`: \"an upcast" "\"an upcast" "7 . names no test")
