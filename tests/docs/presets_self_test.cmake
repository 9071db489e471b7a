# SPDX-License-Identifier: Apache-2.0
# cmake -DROOT=checkout -DDIR=scratch -P presets_self_test.cmake: presets.cmake names each fault planted in the page.
cmake_minimum_required(VERSION 3.22...3.31)
file(READ "${ROOT}/docs/presets.md" good)

function(plant what from to sentence)
  string(REPLACE "${from}" "${to}" page "${good}")
  if(page STREQUAL good)
    message(SEND_ERROR "${what}: the page has no '${from}'")
  endif()
  file(WRITE "${DIR}/page.md" "${page}")
  execute_process(COMMAND ${CMAKE_COMMAND} "-DROOT=${ROOT}" "-DPAGE=${DIR}/page.md"
    -P "${CMAKE_CURRENT_LIST_DIR}/presets.cmake" RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  string(REGEX REPLACE "[ \n]+" " " out "${out}")  # CMake wraps long messages
  if(status EQUAL 0 OR NOT out MATCHES "${sentence}")
    message(SEND_ERROR "${what}: wanted '${sentence}', got status ${status}: ${out}")
  endif()
endfunction()

plant("a preset without a row" "| [`jamba`]" "| jamba" "jamba: has no row")
plant("a row without a header" "[`jamba`](../include/moe/presets/jamba.hpp)" "[`jumbo`](../include/moe/presets/jumbo.hpp)"
  "jumbo: has a row and no header")
plant("a link to another header" "presets/jamba.hpp" "presets/olmoe.hpp" "wanted a link from a preset to its header")
plant("another release" "| `jamba` (transformers 5.23.0)" "| `jamba` (transformers 5.22.0)"
  "jamba: jamba was made by transformers 5.23.0")
plant("a golden that does not exist" "| `jamba` (" "| `jumbo` (" "jamba: there is no .*jumbo.txt")
plant("no golden" "| `jamba` (" "| none (" "jamba: names no golden")
