# SPDX-License-Identifier: Apache-2.0
# cmake -DINCLUDE=include -DSOURCE=layer.cu -DDIR=build -P check.cmake: compiles and links a program with nvcc, then runs
# it. Its exit status 77 means that there is no device: that it was built is the result then.
cmake_minimum_required(VERSION 3.22...3.31)
find_program(NVCC nvcc HINTS /usr/local/cuda/bin)
if(NOT NVCC)
  message(STATUS "skipped: nvcc was not found")
  return()
endif()
file(MAKE_DIRECTORY "${DIR}")
execute_process(COMMAND "${NVCC}" -std=c++20 --extended-lambda --expt-relaxed-constexpr -Werror all-warnings
  -I "${INCLUDE}" "${SOURCE}" -o "${DIR}/layer" RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${SOURCE} does not compile and link with nvcc")
endif()
execute_process(COMMAND "${DIR}/layer" RESULT_VARIABLE status)
if(NOT status MATCHES "^(0|77)$")
  message(FATAL_ERROR "the layer on the device differs from the reference, or failed (status ${status})")
endif()
