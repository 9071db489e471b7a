# SPDX-License-Identifier: Apache-2.0
# What rounding the weights of an expert costs at most: the table of examples/formats, which docs/performance.md shows.
#
#   cmake -DFORMATS=<program> -P formats.cmake
cmake_minimum_required(VERSION 3.22...3.31)
execute_process(COMMAND "${FORMATS}" OUTPUT_VARIABLE out RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "formats: wanted status 0, got ${status}")
endif()

# name, most bits a weight, most per cent with normal weights and with Student's t
function(expect name bits normal student)
  if(NOT out MATCHES "\\| ${name} \\| ([0-9.]+) \\| ([0-9.]+) % \\| ([0-9.]+) % \\|\n")
    message(FATAL_ERROR "formats: wanted a row of ${name}\n${out}")
  endif()
  if(CMAKE_MATCH_1 GREATER bits OR CMAKE_MATCH_2 GREATER normal OR CMAKE_MATCH_3 GREATER student)
    message(FATAL_ERROR "formats: wanted at most ${bits} bits, ${normal} % and ${student} % of ${name}\n${out}")
  endif()
  math(EXPR found "${found} + 1")
  set(found ${found} PARENT_SCOPE)
endfunction()

set(found 0)
expect("f32" 32 0 0)
expect("f16" 16 0.05 0.05)
expect("bf16" 16 0.5 0.5)
expect("int8, groups of 32" 8.5 3 4)
expect("int8, groups of 128" 8.2 3 4.5)
expect("int8, whole rows" 8.1 3 7)
expect("int4, groups of 32" 4.5 18 28)
expect("int4, groups of 32, zero points" 5 15 20)
expect("int4, groups of 128" 4.2 23 43)
string(REGEX MATCHALL "\n\\| [fbi]" lines "${out}")
list(LENGTH lines rows)
if(NOT rows EQUAL found)
  message(FATAL_ERROR "formats: wanted ${found} rows, got ${rows}\n${out}")
endif()
message(STATUS "${rows} formats within their bounds")
