# SPDX-License-Identifier: Apache-2.0
# Sorts headers by the largest of some common headers that they include, directly or not, and compiles each behind a
# precompiled header of that one. It still compiles alone: it sees what it includes anyway, and the common header has stood the
# same test, behind a smaller one or behind nothing. Which header includes which is read while configuring.

# The larger ones first.
set(moe_common_headers moe/load/architecture.hpp moe/layer/layer.hpp moe/experts/ffn_bank.hpp moe/io/json.hpp
  moe/backend/cpu/tile.hpp moe/backend/kernels.hpp moe/core/view.hpp)

# Sets the global property moe_included_HEADER: headers of moe that it includes, directly or not.
function(moe_read_includes header)
  get_property(known GLOBAL PROPERTY moe_included_${header} SET)
  if(known)
    return()
  endif()
  set(included "")
  file(STRINGS "${PROJECT_SOURCE_DIR}/include/${header}" lines REGEX "^#include \"moe/.*\\.hpp\"")
  foreach(line ${lines})
    string(REGEX REPLACE "^#include \"([^\"]+)\".*$" "\\1" other "${line}")
    moe_read_includes("${other}")
    get_property(more GLOBAL PROPERTY moe_included_${other})
    list(APPEND included "${other}" ${more})
  endforeach()
  list(REMOVE_DUPLICATES included)
  set_property(GLOBAL PROPERTY moe_included_${header} "${included}")
endfunction()

# Adds SOURCE, which includes HEADER, to those of its object library; headers_alone builds all libraries.
function(moe_add_alone source header)
  if(NOT TARGET headers_alone)
    add_custom_target(headers_alone)
  endif()
  moe_read_includes("${header}")
  get_property(included GLOBAL PROPERTY moe_included_${header})
  set(behind "")
  foreach(common ${moe_common_headers})
    if(common IN_LIST included)
      set(behind "${common}")
      break()
    endif()
  endforeach()
  string(MAKE_C_IDENTIFIER "headers_behind_${behind}" library)
  if(NOT TARGET ${library})
    add_library(${library} OBJECT EXCLUDE_FROM_ALL)
    target_link_libraries(${library} PRIVATE moe_development moe::io)
    if(behind)
      target_precompile_headers(${library} PRIVATE "${PROJECT_SOURCE_DIR}/include/${behind}")
    endif()
    add_dependencies(headers_alone ${library})
  endif()
  target_sources(${library} PRIVATE "${source}")
  set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS -fsyntax-only)
endfunction()
