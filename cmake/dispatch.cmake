# SPDX-License-Identifier: Apache-2.0
# One program for all processors: compiles the kernels for several levels of an instruction set into one library, from which
# moe::dispatched_cpu (moe/backend/dispatch.hpp) takes the best that it runs on. Installed beside moeConfig.cmake.
#
#   moe_add_dispatch(<target> [LEVELS <level>...] [EXCLUDE_FROM_ALL])
#   target_link_libraries(<program> PRIVATE moe::moe <target>)
#
# Levels: x86-64-v2, x86-64-v3, x86-64-v3-vnni (with AVX-VNNI), x86-64-v4, x86-64-v4-vnni (with AVX512_VNNI),
# x86-64-v4-bf16 (and AVX512_BF16), x86-64-v4-amx (and AVX512_FP16, AMX); all of them if none is named. The lowest one,
# x86-64, is always there. ARM has one level, armv8-a. The program's own flags say how the kernels are optimised; its
# -march does not reach them. A program links one such library.
#
# A level is one object file. Whatever its functions are, also those of the standard library, the linker could take one of
# them for the whole program, which would then not run on other processors. So objcopy makes every symbol of it local but the
# one that names its table; at every level of optimisation. It needs objcopy, of binutils or LLVM, and ELF.

# Sets names, flags_NAME and isa_NAME in the caller: the levels of the processor compiled for, the lowest first.
function(moe_dispatch_levels)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(table "x86-64 sse2" "x86-64-v2 sse4_2" "x86-64-v3 avx2_fma" "x86-64-v3-vnni avx2_fma_vnni" "x86-64-v4 avx512"
      "x86-64-v4-vnni avx512_vnni" "x86-64-v4-bf16 avx512_bf16_vnni" "x86-64-v4-amx avx512_bf16_fp16_amx_vnni")
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
    set(table "armv8-a neon64")
  else()
    message(FATAL_ERROR "moe_add_dispatch: no levels are known for the processor '${CMAKE_SYSTEM_PROCESSOR}'")
  endif()
  set(names "")
  foreach(row ${table})
    string(REGEX MATCH "^([^ ]+) (.+)$" row "${row}")
    set(name "${CMAKE_MATCH_1}")
    list(APPEND names ${name})
    set(isa_${name} "${CMAKE_MATCH_2}" PARENT_SCOPE)
    string(REGEX REPLACE "v3-vnni$" "v3;-mavxvnni" flags "-march=${name}")
    string(REGEX REPLACE "v4-vnni$" "v4;-mavx512vnni" flags "${flags}")
    string(REGEX REPLACE "v4-bf16$" "v4;-mavx512vnni;-mavx512bf16" flags "${flags}")
    string(REGEX REPLACE "v4-amx$" "v4;-mavx512vnni;-mavx512bf16;-mavx512fp16;-mamx-tile;-mamx-bf16;-mamx-int8" flags
      "${flags}")
    set(flags_${name} "${flags}" PARENT_SCOPE)
  endforeach()
  set(names "${names}" PARENT_SCOPE)
endfunction()

function(moe_add_dispatch target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "EXCLUDE_FROM_ALL" "" "LEVELS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "moe_add_dispatch: wanted LEVELS or EXCLUDE_FROM_ALL, got '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT CMAKE_OBJCOPY OR WIN32 OR APPLE)
    message(FATAL_ERROR "moe_add_dispatch: wanted objcopy and ELF object files, got none (CMAKE_OBJCOPY='${CMAKE_OBJCOPY}')")
  endif()
  moe_dispatch_levels()
  foreach(level ${arg_LEVELS})
    if(NOT level IN_LIST names)
      list(JOIN names ", " names)
      message(FATAL_ERROR "moe_add_dispatch: wanted levels among ${names}, got '${level}'")
    endif()
  endforeach()
  set(aside "")
  if(arg_EXCLUDE_FROM_ALL)
    set(aside EXCLUDE_FROM_ALL)
  endif()

  list(GET names 0 lowest)
  set(dir "${CMAKE_CURRENT_BINARY_DIR}/${target}.dispatch")
  set(objects "")
  set(declared "")
  set(listed "")
  foreach(level ${names})
    if(arg_LEVELS AND NOT level STREQUAL lowest AND NOT level IN_LIST arg_LEVELS)
      continue()
    endif()
    string(MAKE_C_IDENTIFIER "${level}" id)
    set(symbol "MOE_CROSSING_SYMBOL(moe_dispatch_level_${id})")
    add_library(${target}_${id} OBJECT ${aside} "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/dispatch_level.cpp")
    target_compile_definitions(${target}_${id} PRIVATE "MOE_DISPATCH_LEVEL=\"${level}\""
      "MOE_DISPATCH_ISA=\"${isa_${level}}\"" "MOE_DISPATCH_TABLE=${symbol}")
    target_link_libraries(${target}_${id} PRIVATE moe::moe)
    target_compile_options(${target}_${id} PRIVATE ${flags_${level}} -fno-lto
      $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
    set_target_properties(${target}_${id} PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF
      INTERPROCEDURAL_OPTIMIZATION OFF)
    set(object "${dir}/${id}.o")
    add_custom_command(OUTPUT "${object}" VERBATIM DEPENDS $<TARGET_OBJECTS:${target}_${id}>
      COMMAND "${CMAKE_OBJCOPY}" --remove-section=.group --wildcard "--keep-global-symbol=moe_dispatch_level_*"
        $<TARGET_OBJECTS:${target}_${id}> "${object}")
    list(APPEND objects "${object}")
    string(APPEND declared "extern const moe::crossing::table ${symbol};\n")
    string(APPEND listed "    &${symbol},\n")
  endforeach()

  file(CONFIGURE OUTPUT "${dir}/levels.cpp" @ONLY CONTENT [[
#include "moe/backend/dispatch/table.hpp"
extern "C" {
@declared@
const moe::crossing::table* const* MOE_CROSSING_SYMBOL(moe_dispatch_levels)() {
    static const moe::crossing::table* const levels[] = {
@listed@    nullptr};
    return levels;
}
}
]])
  add_library(${target} STATIC ${aside} "${dir}/levels.cpp" ${objects})
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  target_link_libraries(${target} PUBLIC moe::moe)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF)
endfunction()
