# SPDX-License-Identifier: Apache-2.0
# The targets that users link: moe::core (vocabulary, no dependencies), moe::moe (the layers) and, beside it, moe::io
# (checkpoints of other programs), the only one that needs a JSON library.
# They carry include directories, cxx_std_20 and dependencies; never a warning, optimisation or -march flag.

# Imported targets are local to a directory; a project that added moe with add_subdirectory needs to see them too. Needs
# the package, unless QUIET is among the further words.
function(moe_find_global package target)
  if(NOT TARGET ${target})
    set(words ${ARGN})
    if(NOT "QUIET" IN_LIST words)
      list(APPEND words REQUIRED)
    endif()
    find_package(${package} ${words})
    if(TARGET ${target})
      get_target_property(imported ${target} IMPORTED)
      if(imported)
        set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL TRUE)
      endif()
    endif()
  endif()
  foreach(variable ${package}_DIR ${package}_VERSION)
    set(${variable} "${${variable}}" PARENT_SCOPE)
  endforeach()
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
moe_find_global(Eigen3 Eigen3::Eigen NO_MODULE)
moe_find_global(xsimd xsimd)
moe_find_global(Threads Threads::Threads)
include("${CMAKE_CURRENT_LIST_DIR}/xsimd.cmake")

add_library(moe_core INTERFACE)
add_library(moe::core ALIAS moe_core)
target_compile_features(moe_core INTERFACE cxx_std_20)
target_include_directories(moe_core INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
  "$<INSTALL_INTERFACE:include>")
set_target_properties(moe_core PROPERTIES EXPORT_NAME core)

add_library(moe_moe INTERFACE)
add_library(moe::moe ALIAS moe_moe)
target_link_libraries(moe_moe INTERFACE moe_core Eigen3::Eigen moe::xsimd Threads::Threads)
set_target_properties(moe_moe PROPERTIES EXPORT_NAME moe)

# Where there is no JSON library, moe::io is there all the same, and linking it says what is missing.
moe_find_global(nlohmann_json nlohmann_json::nlohmann_json QUIET)
add_library(moe_io INTERFACE)
add_library(moe::io ALIAS moe_io)
target_link_libraries(moe_io INTERFACE moe_core nlohmann_json::nlohmann_json)
set_target_properties(moe_io PROPERTIES EXPORT_NAME io)
