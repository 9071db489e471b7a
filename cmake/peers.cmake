# SPDX-License-Identifier: Apache-2.0
# Measures layers alone and beside other libraries, prints tables of ratios, draws rooflines and sweeps over tokens:
#   cmake -P cmake/peers.cmake [-- options]
# Options of setup.cmake, and
#   --shapes B,C         --tokens 1,32,512     --threads 1,2     --runs 7
#   --peers LIST         of onednn,openblas,torch_eager,torch_grouped,onnxruntime,ggml,ik (all of them)
#   --formats LIST       of f32,bf16,bf16+,f16,int8,int4,q8_0,q8_0+,q4_0,q4_0+ (all it has); +: repacked by itself
#   --ggml PATH          where ggml or llama.cpp was built or installed, with shared libraries; else it is left out
#   --ik PATH            the same of ik_llama.cpp
#   --sweep REGEX        what bench_layer runs for the pictures, a --benchmark_filter; "none": nothing
#   --python PATH        one that has torch, transformers, onnx and onnxruntime, or some of them; else a virtual
#                        environment with all, some GB from pip, is made in <build>/peers the first time; "none": no
#   --tiny               tiny sizes in place of all that: a check of results and of this script; figures mean nothing
# oneDNN and OpenBLAS come from the system (Debian: libdnnl-dev, libopenblas-dev); what is not installed is said and
# left out. Everything lands in <build>/peers: results.txt, roofline-N.svg, sweep-N.svg. Wants a quiet machine.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
moe_read_command_line()

set(shapes B,C)
set(tokens 1,32,512)
set(threads 1,2)
set(runs 7)
set(peers onednn,openblas,torch_eager,torch_grouped,onnxruntime,ggml,ik)
set(formats "")
set(ggml "")
set(ik "")
set(sweep "layer/forward/.*/[ABCDEF]/.*uniform")
set(python "")
set(tiny "")
set(name "")
foreach(word ${moe_rest})
  if(name)
    set(${name} "${word}")
    set(name "")
  elseif(word STREQUAL "--tiny")
    set(tiny --tiny)
  elseif(word MATCHES "^--(shapes|tokens|threads|runs|peers|formats|ggml|ik|sweep|python)$")
    set(name ${CMAKE_MATCH_1})
  else()
    message(FATAL_ERROR "moe: unknown option ${word}")
  endif()
endforeach()
if(name)
  message(FATAL_ERROR "moe: --${name} needs a value")
endif()
if(tiny)
  set(shapes tiny,tiny_odd)
  set(tokens 1,7)
  set(runs 1)
  set(sweep "layer/forward/.*uniform")
endif()
string(REPLACE "," ";" peers "${peers}")
foreach(build ggml ik)
  if(${build})
    get_filename_component(${build} "${${build}}" ABSOLUTE)
  else()
    list(REMOVE_ITEM peers ${build})
  endif()
endforeach()

moe_setup(NEEDS Eigen3 xsimd benchmark
  CONFIGURE -DMOE_BUILD_TESTS=OFF -DMOE_BUILD_BENCH=ON -DMOE_BUILD_EXAMPLES=OFF -DMOE_BUILD_PEERS=ON
  "-DMOE_PEER_GGML=${ggml}" "-DMOE_PEER_IK=${ik}")

set(folder "${moe_build_dir}/peers")
file(MAKE_DIRECTORY "${folder}")
if(python STREQUAL "none")
  list(FILTER peers EXCLUDE REGEX "^(torch|onnx)")
endif()
if(python STREQUAL "" OR python STREQUAL "none")
  find_program(MOE_PYTHON python3 REQUIRED)
  set(base "${MOE_PYTHON}")
  if(python STREQUAL "" AND peers MATCHES "torch|onnx")
    set(python "${folder}/venv/bin/python")
    if(NOT EXISTS "${folder}/venv/installed")
      moe_say("installing torch, transformers and onnxruntime into ${folder}/venv")
      moe_run("no virtual environment could be made" "${base}" -m venv "${folder}/venv")
      moe_run("torch, transformers and onnxruntime cannot be installed" "${python}" -m pip install --quiet
        torch transformers onnx onnxruntime)
      file(WRITE "${folder}/venv/installed" "")
    endif()
  else()
    set(python "${base}")
  endif()
endif()

set(targets moe_peers moe_report)
foreach(build ggml ik)
  if(${build})
    list(APPEND targets moe_peer_${build})
  endif()
endforeach()
if(NOT sweep STREQUAL "none")
  list(APPEND targets bench_layer)
endif()
moe_build(${targets})
set(options ${tiny} --shapes ${shapes} --tokens ${tokens} --threads ${threads} --runs ${runs})
if(formats)
  list(APPEND options --formats ${formats})
endif()
set(results "${folder}/results.txt")
file(REMOVE "${results}")
set(failed "")
foreach(peer ${peers})
  moe_say("beside ${peer}")
  set(adapter "")
  if(peer MATCHES "^(ggml|ik)$")
    set(adapter --adapter "${moe_build_dir}/bench/peers/libmoe_peer_${peer}.so")
  endif()
  # Our weights lie in huge pages; with this malloc asks for them as well, for every peer.
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -E env GLIBC_TUNABLES=glibc.malloc.hugetlb=1
      "${python}" "${moe_source_dir}/bench/peers/compare.py" "${moe_build_dir}/bench/peers/libmoe_peers.so" ${peer}
      ${adapter} ${options} --results "${results}"
    RESULT_VARIABLE status)
  if(status EQUAL 3)
    moe_say("${peer} is not installed: left out")
  elseif(NOT status EQUAL 0)
    list(APPEND failed ${peer})
  endif()
endforeach()
if(NOT sweep STREQUAL "none")
  moe_run("bench_layer failed" "${moe_build_dir}/bench/bench_layer" "--benchmark_filter=${sweep}" --threads=${threads}
    --runs=${runs} "--results=${results}" ${tiny})
endif()
moe_run("the report failed" "${moe_build_dir}/bench/peers/moe_report" "${results}" "${folder}")
moe_say_time("measured")
if(failed)
  message(FATAL_ERROR "moe: the comparison failed or found a wrong result beside: ${failed}")
endif()
