# SPDX-License-Identifier: Apache-2.0
# moe as a folder of somebody's project; nothing of moe's own tests is built.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
consume(add_subdirectory)
run("the project cannot be configured without a JSON library" ${CMAKE_COMMAND} -S "${SOURCE}/tests/packaging/consumer"
  -B "${DIR}/without" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}" -DMODE=add_subdirectory "-DMOE_SOURCE=${SOURCE}"
  -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON)
