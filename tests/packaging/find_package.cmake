# SPDX-License-Identifier: Apache-2.0
# moe, installed: found by find_package with the dependencies of this machine, after its build tree is gone.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
install_moe("${DIR}/a")
file(REMOVE_RECURSE "${DIR}/moe")
file(RENAME "${DIR}/a" "${DIR}/b")  # and the prefix may be moved
consume(find_core "-Dmoe_ROOT=${DIR}/b")
consume(find_io "-Dmoe_ROOT=${DIR}/b")
cmake_host_system_information(RESULT processor QUERY OS_PLATFORM)
set(level armv8-a)
if(processor MATCHES "^(x86_64|amd64)$")
  set(level x86-64-v3)
endif()
consume(find_package "-Dmoe_ROOT=${DIR}/b" -DDISPATCH=${level})
run("a program with kernels for several levels was not built, or fails" "${DIR}/consumer/use_dispatch")
message(STATUS "${run_output}")
if(NOT run_output MATCHES "^level (x86-64|x86-64-v3|armv8-a), ")
  message(FATAL_ERROR "wanted the program to say its level, got ${run_output}")
endif()

# Without a JSON library moe is found as ever, and its component io is not.
set(without ${CMAKE_COMMAND} -S "${SOURCE}/tests/packaging/consumer" -B "${DIR}/without" -G "${GENERATOR}"
  "-DCMAKE_CXX_COMPILER=${CXX}" "-Dmoe_ROOT=${DIR}/b" -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON)
run("moe is not found without a JSON library" ${without} -DMODE=find_package)
execute_process(COMMAND ${without} -DMODE=find_io RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
if(status EQUAL 0 OR NOT out MATCHES "nlohmann_json")
  message(FATAL_ERROR "the component io was found without a JSON library, or the error does not name it:\n${out}")
endif()
