# SPDX-License-Identifier: Apache-2.0
# cmake -DCXX=g++ -DOBJDUMP=objdump -DPROCESSOR=x86_64 -DMOE=include -DXSIMD=dir -DSOURCE=kernels.cc -DDIR=scratch
#       -P check.cmake
cmake_minimum_required(VERSION 3.22...3.31)
file(MAKE_DIRECTORY "${DIR}")

if(PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(architectures x86-64-v3 skylake-avx512)
  set(architectures_of_codes alderlake icelake-server)  # AVX-VNNI, AVX512_VNNI
  set(dots "([{]vex[}] )?(vpdpbusd|vpmaddwd)")
  set(fused "vfn?madd[0-9]+p[sd]")
  set(apart "v?(mul|add)p[sd]")
  set(spilled "vmov[a-z]+ +%[yz]mm[0-9]+,[^\n]*\\(%r[sb]p")
elseif(PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(architectures armv8-a)
  set(architectures_of_codes "")
  set(dots "s(dot|mlal|mull)")
  set(fused "fmla")
  set(apart "f(mul|add)[ \t]+v")
  set(spilled "st[rp][ \t]+q[^\n]*\\[sp")
else()
  message(STATUS "nothing is known about the instructions of ${PROCESSOR}: not checked")
  return()
endif()

foreach(architecture ${architectures})
  foreach(standard c++20 gnu++20)
    set(what "${architecture} ${standard}")
    set(object "${DIR}/kernels-${architecture}-${standard}.o")
    execute_process(COMMAND "${CXX}" -std=${standard} -O2 -march=${architecture} "-I${MOE}" "-I${XSIMD}"
      -c "${SOURCE}" -o "${object}" RESULT_VARIABLE status ERROR_VARIABLE errors)
    if(NOT status EQUAL 0)
      message(FATAL_ERROR "${what}: does not compile\n${errors}")
    endif()
    execute_process(COMMAND "${OBJDUMP}" -d --no-show-raw-insn "${object}" OUTPUT_VARIABLE text)
    foreach(function check_fma_float check_fma_double check_tile_float check_tile_double check_tile_bf16
        check_tile_f16)
      string(FIND "${text}" "<${function}>:" begin)
      if(begin EQUAL -1)
        message(FATAL_ERROR "${what}: ${function} is not in the object")
      endif()
      string(SUBSTRING "${text}" ${begin} -1 body)
      string(FIND "${body}" "\n\n" end)
      string(SUBSTRING "${body}" 0 ${end} body)
      if(NOT body MATCHES "${fused}")
        message(SEND_ERROR "${what}: ${function} has no fused multiply-add\n${body}")
      elseif(body MATCHES "${apart}")
        message(SEND_ERROR "${what}: ${function} multiplies or adds apart: ${CMAKE_MATCH_0}\n${body}")
      elseif(body MATCHES "${spilled}")
        message(SEND_ERROR "${what}: ${function} keeps vectors on the stack: ${CMAKE_MATCH_0}\n${body}")
      endif()
    endforeach()
  endforeach()
endforeach()

# With one instruction for the products of codes: their sums stay in registers. clang keeps one vector of int4's tile on
# the stack.
foreach(architecture ${architectures_of_codes})
  set(object "${DIR}/kernels-${architecture}-c++20.o")
  execute_process(COMMAND "${CXX}" -std=c++20 -O2 -march=${architecture} "-I${MOE}" "-I${XSIMD}" -c "${SOURCE}"
    -o "${object}" RESULT_VARIABLE status ERROR_VARIABLE errors)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${architecture}: does not compile\n${errors}")
  endif()
  foreach(function check_tile_int8 check_tile_int4)
    execute_process(COMMAND "${OBJDUMP}" -d --no-show-raw-insn --disassemble=${function} "${object}"
      OUTPUT_VARIABLE body)
    if(NOT body MATCHES "${dots}")
      message(SEND_ERROR "${architecture}: ${function} has no products of codes\n${body}")
    elseif(NOT "${CXX} ${function}" MATCHES "clang.* check_tile_int4" AND
        body MATCHES "vmov[a-z0-9]+ +%[yz]mm[0-9]+,[^\n]*\\(%r[sb]p")
      message(SEND_ERROR "${architecture}: ${function} keeps vectors on the stack: ${CMAKE_MATCH_0}\n${body}")
    endif()
  endforeach()
endforeach()

include("${CMAKE_CURRENT_LIST_DIR}/steps.cmake")
