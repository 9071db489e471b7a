# SPDX-License-Identifier: Apache-2.0
# cmake -DROOT=include -P arrows.cmake: which header may include which.
#
#   core <- backend <- parts (gate score key select route plan experts combine) <- layer <- presets
#   train, metrics, transform, io, parallel, offload stand beside layer: they see parts and core
#   load, the loader of published layers, sees io and all that a layer is made of; nothing sees it
#   testing sees core, backend and the plan
# Parts do not include one another. A concrete backend is seen by the headers directly below moe/ only (and by tests,
# benches and examples, which are not looked at). One folder names each outside library.
cmake_minimum_required(VERSION 3.22...3.31)
get_filename_component(ROOT "${ROOT}" ABSOLUTE)

set(parts gate score key select route plan experts combine)
set(sees_core)
set(sees_backend core)
foreach(folder ${parts})
  set(sees_${folder} core backend)
endforeach()
set(sees_layer core backend ${parts})
set(sees_presets core backend ${parts} layer)
foreach(folder train metrics transform io parallel offload)
  set(sees_${folder} core backend ${parts})
endforeach()
set(sees_load core backend ${parts} layer presets io)
set(sees_testing core backend plan)
set(folders core backend ${parts} layer presets train metrics transform io load parallel offload testing)

set(concrete "^moe/backend/(cpu|simd|eigen|cuda)")

# Outside library -> the files that may name it.
set(outside_patterns "^xsimd/" "^Eigen/" "^nlohmann/" "^mpi\\.h$" "^(cuda|cub/|thrust/|cooperative_groups)"
  "^(thread|mutex|condition_variable|shared_mutex|future|barrier|latch|semaphore|stop_token)$"
  "^(ranges|format|expected|source_location|mdspan|iostream|catch2/.*|benchmark/.*)$")
set(outside_allowed "^moe/backend/simd" "^moe/(backend/eigen|transform/linalg)" "^moe/io/" "^moe/parallel/"
  "^moe/backend/cuda" "^moe/(backend|parallel|offload)/" "^nowhere$")

set(faults 0)
macro(fault text)
  message(SEND_ERROR "${header}: ${text}")
  math(EXPR faults "${faults} + 1")
endmacro()

file(GLOB_RECURSE headers RELATIVE "${ROOT}" "${ROOT}/moe/*.hpp" "${ROOT}/moe/*.cuh")
if(NOT headers)
  message(FATAL_ERROR "no header below ${ROOT}/moe")
endif()
set(arrows 0)
foreach(header ${headers})
  set(folder "")
  if(header MATCHES "^moe/([^/]+)/")
    set(folder "${CMAKE_MATCH_1}")
    if(NOT folder IN_LIST folders)
      fault("the folder '${folder}' is not in the list of arrows")
      continue()
    endif()
  endif()
  file(STRINGS "${ROOT}/${header}" lines REGEX "^[ \t]*#[ \t]*include")
  foreach(line ${lines})
    math(EXPR arrows "${arrows} + 1")
    if(line MATCHES "include[ \t]*\"([^\"]+)\"")
      set(target "${CMAKE_MATCH_1}")
      if(NOT target MATCHES "^moe/" OR NOT EXISTS "${ROOT}/${target}")
        fault("\"${target}\" is not the full path of a public header (moe/<folder>/<name>.hpp)")
      elseif(folder AND target MATCHES "^moe/([^/]+)/")
        set(other "${CMAKE_MATCH_1}")
        if(NOT other STREQUAL folder AND NOT other IN_LIST sees_${folder})
          fault("'${folder}' may not include '${other}' (\"${target}\")")
        elseif(NOT folder STREQUAL "backend" AND target MATCHES "${concrete}")
          fault("names a concrete backend (\"${target}\")")
        elseif(header MATCHES "^moe/backend/(kernels|reference|verbs)\\.hpp$" AND target MATCHES "${concrete}")
          fault("the abstraction names a concrete backend (\"${target}\")")
        endif()
      elseif(folder)
        fault("includes the tour (\"${target}\")")
      endif()
    elseif(line MATCHES "include[ \t]*<([^>]+)>")
      set(target "${CMAKE_MATCH_1}")
      if(target MATCHES "^moe/")
        fault("<${target}> must be written with quotes")
      endif()
      foreach(pattern allowed IN ZIP_LISTS outside_patterns outside_allowed)
        if(target MATCHES "${pattern}" AND NOT header MATCHES "${allowed}")
          fault("may not include <${target}>")
        endif()
      endforeach()
    else()
      fault("an include that this script cannot read: ${line}")
    endif()
  endforeach()
endforeach()
list(LENGTH headers count)
message(STATUS "${count} headers, ${arrows} arrows, ${faults} faults")
