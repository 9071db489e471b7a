# SPDX-License-Identifier: Apache-2.0
# What the checkpoint program promises on its command line:
#   cmake -DCHECKPOINT=<program> -DWORK=<scratch folder> -P checkpoint.cmake
cmake_minimum_required(VERSION 3.22...3.31)
foreach(variable CHECKPOINT WORK)
  if(NOT DEFINED ${variable})
    message(FATAL_ERROR "checkpoint.cmake: -D${variable}= is missing")
  endif()
endforeach()
get_filename_component(models "${CMAKE_CURRENT_LIST_DIR}/../load/data" ABSOLUTE)
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")

# run(STATUS words...): sets out and err.
macro(run wanted)
  execute_process(COMMAND "${CHECKPOINT}" ${ARGN} WORKING_DIRECTORY "${WORK}"
    RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err)
  if(NOT status EQUAL "${wanted}")
    message(FATAL_ERROR "checkpoint ${ARGN}: wanted status ${wanted}, got ${status}\n${out}${err}")
  endif()
endmacro()
function(expect where)
  foreach(piece ${ARGN})
    string(FIND "${${where}}" "${piece}" at)
    if(at EQUAL -1)
      message(FATAL_ERROR "wanted '${piece}' in ${where}, got:\n${${where}}")
    endif()
  endforeach()
endfunction()

run(0 --help)
expect(out "checkpoint DIR" "--layer N" "--svg FILE")

run(0 "${models}/deepseek_v3" --list)
expect(out "deepseek_v3, 1 layers with experts" "model.layers.1.*")

run(0 "${models}/deepseek_v3" --layer 1 --tokens 32 --svg map.svg)
expect(out "architecture  deepseek_v3, preset deepseek_v3" "group_limit" "experts stored per_expert"
  "mlp.experts.*.gate_proj.weight" "32 tokens" "max/mean" "peak memory" "routing map: map.svg")
file(READ "${WORK}/map.svg" svg)
expect(svg "<svg" "deepseek_v3, layer 1" "</svg>")
set(first "${out}")
string(REGEX MATCH "root mean square [^\n]*" first "${first}")

# The same rows give the same output, for any number of threads and whether the layer is named or found.
run(0 "${models}/deepseek_v3" --tokens 32 --threads 1)
expect(out "${first}")

# Rows of a file; ids and labels are there for routers that ask for them.
run(0 "${models}/deepseek_v4_hash" --layer 0 --input "${models}/deepseek_v4_hash/expected.safetensors")
expect(out "preset deepseek_v4_hash" "5 tokens")
run(0 "${models}/gpt_oss" --layer 1)
expect(out "experts stored interleaved" "F32")

run(2)
expect(err "wanted the folder of a model")
run(2 "${models}/deepseek_v3" --layer 0)
expect(err "those with: 1")
run(2 "${WORK}/nowhere")
run(2 "${models}/mixtral" --layout sideways)
expect(err "per_expert, stacked")
run(2 "${models}/mixtral" --layout flattened)
