# SPDX-License-Identifier: Apache-2.0
# What the packaging tests share. They are run as scripts with
#   SOURCE  moe's source tree      DIR  a scratch folder      CXX  the compiler      GENERATOR  the CMake generator
#   PREFIXES  where fetched dependencies stand, if any, separated by colons      MAKE_PROGRAM  ninja or make
cmake_minimum_required(VERSION 3.22...3.31)
set(ENV{CMAKE_PREFIX_PATH} "${PREFIXES}")

function(run sentence)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${sentence}:\n${out}")
  endif()
  set(run_output "${out}" PARENT_SCOPE)
endfunction()

# Configures, builds and runs the consumer. Further arguments go to its configuration.
function(consume mode)
  set(build "${DIR}/consumer")
  file(REMOVE_RECURSE "${build}")
  run("the consumer (${mode}) cannot be configured"
    ${CMAKE_COMMAND} -S "${SOURCE}/tests/packaging/consumer" -B "${build}" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${CXX}" -DMODE=${mode} "-DMOE_SOURCE=${SOURCE}" ${ARGN})
  run("the consumer (${mode}) cannot be built" ${CMAKE_COMMAND} --build "${build}")
  set(programs_of_find_core use_core)
  set(programs_of_find_io use_core use_io)
  set(programs use_core use_moe use_io)
  if(DEFINED programs_of_${mode})
    set(programs ${programs_of_${mode}})
  endif()
  foreach(program ${programs})
    run("${program} (${mode}) was not built, or fails" "${build}/${program}")
    message(STATUS "${mode}: ${run_output}")
  endforeach()

  # What the targets put on the consumer's command lines: include directories, the standard, -pthread.
  file(READ "${build}/compile_commands.json" commands)
  string(JSON count LENGTH "${commands}")
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON command GET "${commands}" ${i} command)
    string(JSON file GET "${commands}" ${i} file)
    if(file MATCHES "/isa_other\\.cpp$|/mixed_isas_other\\.cpp$|/dispatch_level\\.cpp$|/levels\\.dispatch/")
      continue()  # the consumer itself asks for another instruction set here
    endif()
    if(command MATCHES " (-m[a-z0-9]|-W|-O|-f|-D)[^ ]*")
      message(FATAL_ERROR "moe puts '${CMAKE_MATCH_0}' on the consumer's command line: ${command}")
    endif()
    if(NOT command MATCHES " -std=(c|gnu)\\+\\+(20|2a|23|2b)")
      message(FATAL_ERROR "moe does not ask for C++20: ${command}")
    endif()
    if(file MATCHES "/use_(core|io)\\.cpp$" AND command MATCHES "[Ee]igen|xsimd|pthread")
      message(FATAL_ERROR "moe::core or moe::io has a dependency that it does not need: ${command}")
    endif()
  endforeach()
endfunction()

function(install_moe prefix)
  run("moe cannot be configured" ${CMAKE_COMMAND} -S "${SOURCE}" -B "${DIR}/moe" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${CXX}" -DMOE_BUILD_TESTS=OFF -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=OFF ${ARGN})
  run("moe cannot be installed" ${CMAKE_COMMAND} --install "${DIR}/moe" --prefix "${prefix}")
endfunction()
