# SPDX-License-Identifier: Apache-2.0
# The way of a machine without a package manager: git repositories that stand in for the real addresses, the setup script
# with --fetch, an installed moe, and a consumer that may look nowhere but in the install prefix.
# The repositories hold the packages as they are installed here.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")

# Where the packages of this machine stand: include folder, package folder, and what both are relative to.
file(WRITE "${DIR}/probe/CMakeLists.txt" [[
cmake_minimum_required(VERSION 3.22...3.31)
project(probe LANGUAGES CXX)
foreach(package Eigen3 xsimd nlohmann_json Catch2)
  find_package(${package} REQUIRED CONFIG)
  file(WRITE "${CMAKE_BINARY_DIR}/${package}.txt" "${${package}_DIR}")
endforeach()
]])
run("the packages of this machine are not found" ${CMAKE_COMMAND} -S "${DIR}/probe" -B "${DIR}/probe/build"
  -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}")

function(make_repository package include)
  file(READ "${DIR}/probe/build/${package}.txt" package_dir)
  # The package folder is <prefix>/{lib,lib/<arch>,share}/...; the headers stand in <prefix>/include.
  string(REGEX MATCH "^(.*)/((lib|lib64|share)/.*)$" ignored "${package_dir}")
  string(REGEX REPLACE "/(lib|lib64|share)/.*$" "" prefix "${package_dir}")
  file(RELATIVE_PATH below "${prefix}" "${package_dir}")
  set(repository "${DIR}/repositories/${package}")
  file(MAKE_DIRECTORY "${repository}/tree/${below}" "${repository}/tree/include")
  file(COPY "${package_dir}/" DESTINATION "${repository}/tree/${below}")
  file(COPY "${prefix}/include/${include}" DESTINATION "${repository}/tree/include" FOLLOW_SYMLINK_CHAIN)
  file(WRITE "${repository}/CMakeLists.txt" "cmake_minimum_required(VERSION 3.22...3.31)\nproject(${package} NONE)\n"
    "install(DIRECTORY tree/ DESTINATION .)\n")
  set(git git -C "${repository}" -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false)
  run("git init" ${git} init --quiet)
  run("git add" ${git} add --force --all)
  run("git commit" ${git} commit --quiet -m ${package})
  run("git rev-parse" ${git} rev-parse HEAD)
  string(STRIP "${run_output}" commit)
  set(commit "${commit}" PARENT_SCOPE)
  set(repository "${repository}" PARENT_SCOPE)
endfunction()

set(overrides "")
foreach(entry "Eigen3 EIGEN eigen3" "xsimd XSIMD xsimd" "nlohmann_json JSON nlohmann" "Catch2 CATCH2 catch2")
  separate_arguments(entry)
  list(GET entry 0 package)
  list(GET entry 1 variable)
  list(GET entry 2 include)
  make_repository(${package} ${include})
  list(APPEND overrides "-DMOE_${variable}_URL=file://${repository}" "-DMOE_${variable}_COMMIT=${commit}")
endforeach()

file(WRITE "${DIR}/setup_only.cmake" "include(\"${SOURCE}/cmake/setup.cmake\")\n"
  "moe_setup(NEEDS Eigen3 xsimd nlohmann_json Catch2\n  CONFIGURE -DMOE_BUILD_TESTS=OFF -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=OFF)\n")
set(setup "${CMAKE_COMMAND}" ${overrides} -P "${DIR}/setup_only.cmake" -- --fetch --build-dir "${DIR}/build"
  --compiler "${CXX}")
run("setup with --fetch fails" ${setup})
if(NOT run_output MATCHES "fetching Eigen3 with git: file://[^\n]* at [0-9a-f]+")
  message(FATAL_ERROR "setup does not say what it fetches:\n${run_output}")
endif()
run("setup fails in a used tree" ${setup})
if(NOT run_output MATCHES "xsimd was fetched before" OR run_output MATCHES "fetching")
  message(FATAL_ERROR "setup fetches again in a used tree:\n${run_output}")
endif()

# A commit that the repository does not have is refused, as is one that is not pinned in full.
foreach(commit 0123456789012345678901234567890123456789 main)
  execute_process(COMMAND "${CMAKE_COMMAND}" ${overrides} -DMOE_XSIMD_COMMIT=${commit} -P "${DIR}/setup_only.cmake" --
    --fetch --build-dir "${DIR}/refused" --compiler "${CXX}"
    RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  string(REGEX REPLACE "[ \n]+" " " out "${out}")
  if(status EQUAL 0 OR NOT out MATCHES "has no commit ${commit}|must be pinned to a full commit id")
    message(FATAL_ERROR "the commit '${commit}' was not refused:\n${out}")
  endif()
endforeach()

run("moe cannot be installed" ${CMAKE_COMMAND} --install "${DIR}/build" --prefix "${DIR}/prefix")
file(REMOVE_RECURSE "${DIR}/build" "${DIR}/repositories")
set(ENV{CMAKE_PREFIX_PATH} "")
consume(find_package "-Dmoe_ROOT=${DIR}/prefix" "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF
  -DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF)
file(STRINGS "${DIR}/consumer/CMakeCache.txt" found REGEX "^(Eigen3|xsimd|nlohmann_json|moe)_DIR:")
foreach(line ${found})
  if(NOT line MATCHES "=${DIR}/prefix/")
    message(FATAL_ERROR "a package was not taken from the install prefix: ${line}")
  endif()
endforeach()
list(LENGTH found count)
if(NOT count EQUAL 4)
  message(FATAL_ERROR "wanted Eigen3, xsimd, nlohmann_json and moe from the install prefix, got: ${found}")
endif()
