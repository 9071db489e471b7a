# SPDX-License-Identifier: Apache-2.0
# What takes too long for every change:
#   cmake -P cmake/long.cmake -- [fuzz SECONDS] [fuzz_io SECONDS] [bench] [nvcc] [newest] [scalars] [levels]
#     [soak SECONDS] [mutation]
#   fuzz SECONDS  every fuzz target with libFuzzer, that long each (needs clang++)
#   fuzz_io SECONDS  the targets that read files, that long in all; 1800 before a release
#   bench         all benchmarks in full
#   nvcc          every header a CUDA translation unit may include, compiled by nvcc; a layer for moe::cuda, linked, and
#                 run where there is a device
#   newest        the tests with newer major versions of the dependencies, fetched with git; the commits below are tried
#                 unless the variables of dependencies.cmake are given (-DMOE_XSIMD_URL=... -DMOE_XSIMD_COMMIT=...)
#   scalars       all tests, the papers' among them, with float and double on every backend
#   levels        run-time dispatch to every level of the instruction set, of which CI compiles some
#   soak SECONDS  training with changing shapes, that long; memory must not grow
#   mutation      all planted faults against the law suite (needs bash and perl); tests/mutation/run.sh
cmake_minimum_required(VERSION 3.22...3.31)

# Newer releases than the pinned ones: xsimd 14.3.0, Catch2 3.7.1.
set(newest_XSIMD e88a72831858123924f7118f345dfe5d70d95991)
set(newest_CATCH2 fa43b77429ba76c462b1898d6cd2f2d7a9416b14)

get_filename_component(source "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
set(work "${source}/build/long")
set(words "")
set(reading OFF)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(reading)
    list(APPEND words "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(reading ON)
  endif()
endforeach()
if(NOT words)
  message(FATAL_ERROR "say what: cmake -P cmake/long.cmake -- [fuzz SECONDS] [fuzz_io SECONDS] [bench] [nvcc] "
    "[newest] [scalars] [levels] [soak SECONDS] [mutation]")
endif()
cmake_host_system_information(RESULT jobs QUERY NUMBER_OF_LOGICAL_CORES)

function(run sentence)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${sentence} (status ${status})")
  endif()
endfunction()

function(require_seconds word seconds)
  if(NOT seconds MATCHES "^[0-9]+$")
    message(FATAL_ERROR "${word} needs a number of seconds, got '${seconds}'")
  endif()
endfunction()

# Each of the named targets, one after the other.
function(fuzz_targets seconds)
  run("the fuzz targets cannot be configured" ${CMAKE_COMMAND} -S "${source}" -B "${work}/fuzz"
    -DCMAKE_CXX_COMPILER=clang++ -DMOE_FUZZ=ON -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=OFF)
  foreach(name ${ARGN})
    run("${name} cannot be built" ${CMAKE_COMMAND} --build "${work}/fuzz" --parallel ${jobs} --target libfuzzer_${name})
    file(MAKE_DIRECTORY "${work}/fuzz/found/${name}")
    set(corpus "${source}/tests/fuzz/corpus/${name}")
    if(NOT EXISTS "${corpus}")
      set(corpus "")
    endif()
    run("${name} found a fault; the input is in ${work}/fuzz/found" "${work}/fuzz/tests/fuzz/libfuzzer_${name}"
      -max_total_time=${seconds} -max_len=65536 -timeout=25 "-artifact_prefix=${work}/fuzz/found/"
      "${work}/fuzz/found/${name}" ${corpus})
  endforeach()
endfunction()

function(long_fuzz seconds)
  require_seconds(fuzz "${seconds}")
  file(GLOB targets "${source}/tests/fuzz/*.cpp")
  list(TRANSFORM targets REPLACE ".*/([^/]*)\\.cpp$" "\\1")
  fuzz_targets(${seconds} ${targets})
endfunction()

function(long_fuzz_io seconds)
  require_seconds(fuzz_io "${seconds}")
  set(targets config gguf load routing_record safetensors shard_index)
  list(LENGTH targets count)
  math(EXPR each "(${seconds} + ${count} - 1) / ${count}")
  fuzz_targets(${each} ${targets})
endfunction()

function(long_bench)
  run("the benchmarks failed" ${CMAKE_COMMAND} -P "${source}/cmake/bench.cmake")
endfunction()

function(long_nvcc)
  find_program(NVCC nvcc HINTS /usr/local/cuda/bin)
  if(NOT NVCC)
    message(FATAL_ERROR "nvcc was not found")
  endif()
  file(GLOB_RECURSE headers RELATIVE "${source}/include" "${source}/include/moe/*.hpp" "${source}/include/moe/*.cuh")
  # These name xsimd, Eigen, JSON or host threads, which a CUDA translation unit does not see.
  list(FILTER headers EXCLUDE REGEX "^moe/backend/(cpu|simd|eigen)|^moe/transform/linalg|^moe/io(/|\\.hpp)")
  file(MAKE_DIRECTORY "${work}/nvcc")
  foreach(header ${headers})
    file(WRITE "${work}/nvcc/header.cu" "#include \"${header}\"\n#include \"${header}\"\n")
    message(STATUS "nvcc ${header}")
    run("${header} does not compile with nvcc" "${NVCC}" -std=c++20 --extended-lambda --expt-relaxed-constexpr
      -I "${source}/include" -c "${work}/nvcc/header.cu" -o "${work}/nvcc/header.o")
  endforeach()
  list(LENGTH headers count)
  message(STATUS "${count} headers compile with nvcc")
  run("the layer for CUDA devices failed" ${CMAKE_COMMAND} "-DNVCC=${NVCC}" "-DINCLUDE=${source}/include"
    "-DSOURCE=${source}/tests/backend/cuda/device/layer.cu" "-DDIR=${work}/nvcc"
    -P "${source}/tests/backend/cuda/device/check.cmake")
endfunction()

function(long_newest)
  set(options "")
  foreach(name EIGEN XSIMD JSON CATCH2 BENCHMARK)
    foreach(what URL COMMIT)
      if(DEFINED MOE_${name}_${what})
        list(APPEND options "-DMOE_${name}_${what}=${MOE_${name}_${what}}")
      elseif(what STREQUAL "COMMIT" AND DEFINED newest_${name})
        list(APPEND options "-DMOE_${name}_COMMIT=${newest_${name}}")
      endif()
    endforeach()
  endforeach()
  run("the tests fail with the newest dependencies" ${CMAKE_COMMAND} ${options} -P "${source}/cmake/test.cmake" --
    --fetch --build-dir "${work}/newest")
endfunction()

function(long_scalars)
  run("the tests cannot be configured" ${CMAKE_COMMAND} -S "${source}" -B "${work}/scalars" -DCMAKE_BUILD_TYPE=Release
    -DMOE_TEST_ALL=ON -DMOE_TEST_EVERY_SCALAR=ON -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=OFF)
  run("the tests cannot be built" ${CMAKE_COMMAND} --build "${work}/scalars" --parallel ${jobs})
  run("the tests failed" ${CMAKE_CTEST_COMMAND} --test-dir "${work}/scalars" --output-on-failure --label-regex unit)
endfunction()

function(long_levels)
  run("the tests cannot be configured" ${CMAKE_COMMAND} -S "${source}" -B "${work}/levels" -DCMAKE_BUILD_TYPE=Release
    -DMOE_TEST_LEVELS= -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=OFF)
  run("the tests failed" ${CMAKE_CTEST_COMMAND} --test-dir "${work}/levels" --output-on-failure
    --label-regex "dispatch|symbols")
endfunction()

function(long_soak seconds)
  require_seconds(soak "${seconds}")
  run("the soak cannot be configured" ${CMAKE_COMMAND} -S "${source}" -B "${work}/soak" -DCMAKE_BUILD_TYPE=Release
    -DMOE_BUILD_BENCH=OFF -DMOE_BUILD_EXAMPLES=OFF)
  run("the soak cannot be built" ${CMAKE_COMMAND} --build "${work}/soak" --target soak_layer)
  run("memory grows, or a weight is lost" "${work}/soak/tests/soak/soak_layer" ${seconds})
endfunction()

function(long_mutation)
  run("a mutant survives that tests/mutation/survivors.txt does not explain" ${CMAKE_COMMAND} -E env JOBS=${jobs}
    "${source}/tests/mutation/run.sh")
endfunction()

while(words)
  list(POP_FRONT words word)
  if(word MATCHES "^(fuzz|fuzz_io|soak)$")
    list(POP_FRONT words seconds)
    cmake_language(CALL long_${word} "${seconds}")
  elseif(word MATCHES "^(bench|levels|mutation|nvcc|newest|scalars)$")
    cmake_language(CALL long_${word})
  else()
    message(FATAL_ERROR "'${word}' is none of fuzz, fuzz_io, bench, levels, mutation, nvcc, newest, scalars, soak")
  endif()
endwhile()
