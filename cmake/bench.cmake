# SPDX-License-Identifier: Apache-2.0
# Sets everything up, builds and runs the benchmarks:   cmake -P cmake/bench.cmake [-- options]
# Options of setup.cmake; others go to every benchmark, for instance `--benchmark_filter=layer`.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
moe_setup(NEEDS Eigen3 xsimd benchmark CONFIGURE -DMOE_BUILD_TESTS=OFF -DMOE_BUILD_BENCH=ON -DMOE_BUILD_EXAMPLES=OFF)
moe_build(all)
moe_say_time("built")
file(GLOB programs "${moe_build_dir}/bench/bench_*")
foreach(program ${programs})
  if(NOT IS_DIRECTORY "${program}")
    moe_say("running ${program}")
    moe_run("${program} failed" "${program}" ${moe_rest})
  endif()
endforeach()
