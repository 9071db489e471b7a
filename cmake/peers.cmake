# SPDX-License-Identifier: Apache-2.0
# Measures layers alone and beside other libraries, prints the table of ratios and draws rooflines and sweeps over tokens:
#   cmake -P cmake/peers.cmake [-- options]
# Options of setup.cmake, and
#   --shapes B,C         --tokens 1,32,512     --threads 1,2     --runs 7
#   --peers LIST         of onednn,openblas,torch_eager,torch_grouped (all of them)
#   --sweep REGEX        what bench_layer runs for the pictures, a --benchmark_filter; "none": nothing
#   --python PATH        one that has torch and transformers; else a virtual environment with both, some GB from pip, is made
#                        in <build>/peers the first time; "none": without them
# oneDNN and OpenBLAS come from the system (Debian: libdnnl-dev, libopenblas-dev); what is not installed is said and left
# out. Everything lands in <build>/peers: results.txt, roofline-N.svg, sweep-N.svg. Wants a quiet machine.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
moe_setup(NEEDS Eigen3 xsimd benchmark
  CONFIGURE -DMOE_BUILD_TESTS=OFF -DMOE_BUILD_BENCH=ON -DMOE_BUILD_EXAMPLES=OFF -DMOE_BUILD_PEERS=ON)

set(shapes B,C)
set(tokens 1,32,512)
set(threads 1,2)
set(runs 7)
set(peers onednn,openblas,torch_eager,torch_grouped)
set(sweep "layer/forward/.*/[ABCDEF]/.*uniform")
set(python "")
set(name "")
foreach(word ${moe_rest})
  if(name)
    set(${name} "${word}")
    set(name "")
  elseif(word MATCHES "^--(shapes|tokens|threads|runs|peers|sweep|python)$")
    set(name ${CMAKE_MATCH_1})
  else()
    message(FATAL_ERROR "moe: unknown option ${word}")
  endif()
endforeach()
if(name)
  message(FATAL_ERROR "moe: --${name} needs a value")
endif()
string(REPLACE "," ";" peers "${peers}")

set(folder "${moe_build_dir}/peers")
file(MAKE_DIRECTORY "${folder}")
if(python STREQUAL "none")
  list(FILTER peers EXCLUDE REGEX "^torch")
endif()
if(python STREQUAL "" OR python STREQUAL "none")
  find_program(MOE_PYTHON python3 REQUIRED)
  set(base "${MOE_PYTHON}")
  if(python STREQUAL "" AND peers MATCHES "torch")
    set(python "${folder}/venv/bin/python")
    if(NOT EXISTS "${folder}/venv/installed")
      moe_say("installing torch and transformers into ${folder}/venv")
      moe_run("no virtual environment could be made" "${base}" -m venv "${folder}/venv")
      moe_run("torch and transformers cannot be installed" "${python}" -m pip install --quiet torch transformers)
      file(WRITE "${folder}/venv/installed" "")
    endif()
  else()
    set(python "${base}")
  endif()
endif()

moe_build(bench_layer moe_peers moe_report)
set(results "${folder}/results.txt")
file(REMOVE "${results}")
foreach(peer ${peers})
  moe_say("beside ${peer}")
  execute_process(
    COMMAND "${python}" "${moe_source_dir}/bench/peers/compare.py" "${moe_build_dir}/bench/peers/libmoe_peers.so" ${peer}
      --shapes ${shapes} --tokens ${tokens} --threads ${threads} --runs ${runs} --results "${results}"
    RESULT_VARIABLE status)
  if(status EQUAL 3)
    moe_say("${peer} is not installed: left out")
  elseif(NOT status EQUAL 0)
    message(FATAL_ERROR "moe: the comparison with ${peer} failed (status ${status})")
  endif()
endforeach()
if(NOT sweep STREQUAL "none")
  moe_run("bench_layer failed" "${moe_build_dir}/bench/bench_layer" "--benchmark_filter=${sweep}" --threads=${threads}
    --runs=${runs} "--results=${results}")
endif()
moe_run("the report failed" "${moe_build_dir}/bench/peers/moe_report" "${results}" "${folder}")
moe_say_time("measured")
