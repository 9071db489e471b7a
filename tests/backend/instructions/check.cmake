# SPDX-License-Identifier: Apache-2.0
# cmake -DCXX=g++ -DVALGRIND=valgrind -DMOE=include -DXSIMD=dir -DDIR=scratch -P check.cmake
# More than 5 % above figures.txt fails. The figures are g++ 12's; other compilers are told theirs and fail nothing.
cmake_minimum_required(VERSION 3.22...3.31)
file(MAKE_DIRECTORY "${DIR}")
execute_process(COMMAND "${CXX}" -dumpfullversion -dumpversion OUTPUT_VARIABLE version)
execute_process(COMMAND "${CXX}" --version OUTPUT_VARIABLE compiler)
set(severity STATUS)
if(NOT compiler MATCHES "clang" AND version MATCHES "^12\\.")
  set(severity SEND_ERROR)
endif()

execute_process(COMMAND "${CXX}" -std=c++20 -O2 -march=x86-64-v3 "-I${MOE}" "-I${XSIMD}"
  "${CMAKE_CURRENT_LIST_DIR}/count.cc" -o "${DIR}/count" -pthread RESULT_VARIABLE status ERROR_VARIABLE errors)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "count.cc does not compile\n${errors}")
endif()
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/figures.txt" figures REGEX "^[^#]")
foreach(figure ${figures})
  if(NOT figure MATCHES "^([^ ]+) +([0-9]+)$")
    message(FATAL_ERROR "figures.txt: not a verb and a number: ${figure}")
  endif()
  set(verb "${CMAKE_MATCH_1}")
  set(wanted "${CMAKE_MATCH_2}")
  execute_process(COMMAND "${VALGRIND}" --tool=callgrind --toggle-collect=counted_call
    "--callgrind-out-file=${DIR}/${verb}.out" "${DIR}/count" ${verb}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0 OR NOT output MATCHES "Collected : ([0-9]+)")
    message(FATAL_ERROR "${verb}: callgrind did not count (status ${status})\n${output}")
  endif()
  set(got "${CMAKE_MATCH_1}")
  message(STATUS "${verb}: ${got} instructions, ${wanted} are expected")
  math(EXPR hundred "100 * ${got}")
  math(EXPR most "105 * ${wanted}")
  if(hundred GREATER most)
    message(${severity} "${verb}: ${got} instructions, more than 5 % above ${wanted}")
  endif()
endforeach()
