# SPDX-License-Identifier: Apache-2.0
# moe::xsimd: the include directories of the xsimd package, and nothing else. Installed beside moeConfig.cmake.
#
# Debian 12 exports its target `xsimd` with a link to a library `xtl` that neither its config file finds nor its package
# depends on, so linking `xsimd` itself ends in "cannot find -lxtl". Only the headers are needed.
if(NOT TARGET moe::xsimd)
  add_library(moe::xsimd INTERFACE IMPORTED GLOBAL)
  set_target_properties(moe::xsimd PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "$<TARGET_PROPERTY:xsimd,INTERFACE_INCLUDE_DIRECTORIES>")
endif()
