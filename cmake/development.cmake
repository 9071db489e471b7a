# SPDX-License-Identifier: Apache-2.0
# What our own tests, benchmarks and examples are compiled with. None of it is exported.

add_library(moe_warnings INTERFACE)
target_compile_options(moe_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

add_library(moe_development INTERFACE)
target_link_libraries(moe_development INTERFACE moe::moe moe_warnings)
if(MOE_NATIVE)
  target_compile_options(moe_development INTERFACE -march=native)
endif()
if(MOE_SANITIZE)
  # -g1: the lines of a report, which is what it needs, in less time.
  target_compile_options(moe_development INTERFACE
    "-fsanitize=${MOE_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  # xsimd 8.1 casts the lanes of a vector to integers inside exp, NaN among them, and selects the NaN back afterwards.
  if(MOE_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(moe_development INTERFACE -fno-sanitize=float-cast-overflow)
  endif()
  target_link_options(moe_development INTERFACE "-fsanitize=${MOE_SANITIZE}")
endif()
