# SPDX-License-Identifier: Apache-2.0
# moe, installed: found by find_package with the dependencies of this machine, after its build tree is gone.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
install_moe("${DIR}/a")
file(REMOVE_RECURSE "${DIR}/moe")
file(RENAME "${DIR}/a" "${DIR}/b")  # and the prefix may be moved
consume(find_core "-Dmoe_ROOT=${DIR}/b")
consume(find_io "-Dmoe_ROOT=${DIR}/b")
consume(find_package "-Dmoe_ROOT=${DIR}/b")

# Without a JSON library moe is found as ever, and its component io is not.
set(without ${CMAKE_COMMAND} -S "${SOURCE}/tests/packaging/consumer" -B "${DIR}/without" -G "${GENERATOR}"
  "-DCMAKE_CXX_COMPILER=${CXX}" "-Dmoe_ROOT=${DIR}/b" -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON)
run("moe is not found without a JSON library" ${without} -DMODE=find_package)
execute_process(COMMAND ${without} -DMODE=find_io RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
if(status EQUAL 0 OR NOT out MATCHES "nlohmann_json")
  message(FATAL_ERROR "the component io was found without a JSON library, or the error does not name it:\n${out}")
endif()
