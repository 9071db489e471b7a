# SPDX-License-Identifier: Apache-2.0
# Install rules: headers, targets and moeConfig.cmake, so that find_package(moe) works from the install prefix.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(moe_config_dir "${CMAKE_INSTALL_DATADIR}/cmake/moe")  # share: headers only, nothing depends on the architecture

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/moe" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh")
install(TARGETS moe_core moe_moe EXPORT moeTargets)
install(EXPORT moeTargets NAMESPACE moe:: DESTINATION "${moe_config_dir}")
install(TARGETS moe_io EXPORT moeIoTargets)
install(EXPORT moeIoTargets NAMESPACE moe:: DESTINATION "${moe_config_dir}")

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/moeConfig.cmake.in" "${PROJECT_BINARY_DIR}/moeConfig.cmake"
  INSTALL_DESTINATION "${moe_config_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/moeConfigVersion.cmake"
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/moeConfig.cmake" "${PROJECT_BINARY_DIR}/moeConfigVersion.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/xsimd.cmake" "${CMAKE_CURRENT_LIST_DIR}/dispatch.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/dispatch_level.cpp" DESTINATION "${moe_config_dir}")

# For pkg-config; the prefix is wherever the file stands, so the installed tree may be moved. It asks for C++20 nowhere:
# pkg-config has no word for it.
configure_file("${CMAKE_CURRENT_LIST_DIR}/moe.pc.in" "${PROJECT_BINARY_DIR}/moe.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/moe.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")

# Eigen, xsimd and the JSON library that were fetched with git live in the build tree only. They go into the same prefix
# as moe, as the ordinary CMake packages they are, so that find_package(moe) finds them after the build tree is gone.
if(moe_fetched_prefix AND EXISTS "${moe_fetched_prefix}")
  install(DIRECTORY "${moe_fetched_prefix}/" DESTINATION .)
endif()
