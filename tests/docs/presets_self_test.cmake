# SPDX-License-Identifier: Apache-2.0
# cmake -DROOT=checkout -DDIR=scratch -P presets_self_test.cmake: presets.cmake names each fault planted in the page.
cmake_minimum_required(VERSION 3.22...3.31)
set(page docs/presets.md)
set(script presets.cmake)
include("${CMAKE_CURRENT_LIST_DIR}/plant.cmake")

plant("a preset without a row" "| [`jamba`]" "| jamba" "jamba: has no row")
plant("a row without a header" "[`jamba`](../include/moe/presets/jamba.hpp)" "[`jumbo`](../include/moe/presets/jumbo.hpp)"
  "jumbo: has a row and no header")
plant("a link to another header" "presets/jamba.hpp" "presets/olmoe.hpp" "wanted a link from a preset to its header")
plant("another release" "| `jamba` (transformers 5.23.0)" "| `jamba` (transformers 5.22.0)"
  "jamba: jamba was made by transformers 5.23.0")
plant("a golden that does not exist" "| `jamba` (" "| `jumbo` (" "jamba: no file of tests/golden holds jumbo")
plant("no golden" "| `jamba` (" "| none (" "jamba: names no golden")
