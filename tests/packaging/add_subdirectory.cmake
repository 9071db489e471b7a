# SPDX-License-Identifier: Apache-2.0
# moe as a folder of somebody's project; nothing of moe's own tests is built. The project has translation units with different
# -march flags: each uses its own copy of moe, and objects do not cross.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
consume(add_subdirectory -DISA_FLAG=-march=native)
run("the project cannot be configured without a JSON library" ${CMAKE_COMMAND} -S "${SOURCE}/tests/packaging/consumer"
  -B "${DIR}/without" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}" -DMODE=add_subdirectory "-DMOE_SOURCE=${SOURCE}"
  -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON)

set(build "${DIR}/consumer")
execute_process(COMMAND "${build}/two_isas" RESULT_VARIABLE status OUTPUT_VARIABLE out)
message(STATUS "${out}")
if(status EQUAL 10)
  message(STATUS "skipped: -march=native of this machine is the compiler's default")
elseif(NOT status EQUAL 0)
  message(FATAL_ERROR "two_isas: status ${status} (11: one copy serves both, 12: different sums)")
else()
  run("equal flags should link" ${CMAKE_COMMAND} --build "${build}" --target equal_isas)
  execute_process(COMMAND ${CMAKE_COMMAND} --build "${build}" --target mixed_isas
    RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(status EQUAL 0 OR NOT out MATCHES "undefined reference to .*first")
    message(FATAL_ERROR "an object crosses between two instruction sets:\n${out}")
  endif()
endif()
