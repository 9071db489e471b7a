# SPDX-License-Identifier: Apache-2.0
# Every package that moe builds with: its name for CMake, for apt, and where git gets it. This is the only file that
# names them. Each address and commit can be overridden, for instance by a local clone:
#   cmake -DMOE_EIGEN_URL=/path/to/eigen -P cmake/test.cmake -- --fetch

# Fetched with git only where the system's package manager cannot be used. Full commit ids, the release tag beside them.
set(MOE_EIGEN_URL "https://gitlab.com/libeigen/eigen.git" CACHE STRING "Where git fetches Eigen from")
set(MOE_EIGEN_COMMIT "3147391d946bb4b6c68edd901f2add6ac1f31f8c" CACHE STRING "Eigen 3.4.0")
set(MOE_XSIMD_URL "https://github.com/xtensor-stack/xsimd.git" CACHE STRING "Where git fetches xsimd from")
set(MOE_XSIMD_COMMIT "1577b02d549cca52aa5e943c16f2600950480289" CACHE STRING "xsimd 8.1.0")
set(MOE_JSON_URL "https://github.com/nlohmann/json.git" CACHE STRING "Where git fetches the JSON library from")
set(MOE_JSON_COMMIT "bc889afb4c5bf1c0d8ee29ef35eaaf4c8bef8a5d" CACHE STRING "nlohmann/json 3.11.2")
set(MOE_CATCH2_URL "https://github.com/catchorg/Catch2.git" CACHE STRING "Where git fetches Catch2 from")
set(MOE_CATCH2_COMMIT "182c910b4b63ff587a3440e08f84f70497e49a81" CACHE STRING "Catch2 2.13.10")
set(MOE_BENCHMARK_URL "https://github.com/google/benchmark.git" CACHE STRING "Where git fetches Google Benchmark from")
set(MOE_BENCHMARK_COMMIT "d572f4777349d43653b21d6c2fc63020ab326db2" CACHE STRING "Google Benchmark 1.7.1")

# find_package name -> variable prefix above, apt package, folder below build/deps (library: users need it too),
# options for its own CMake build.
set(moe_packages Eigen3 xsimd nlohmann_json Catch2 benchmark)

set(moe_Eigen3_variable EIGEN)
set(moe_Eigen3_apt libeigen3-dev)
set(moe_Eigen3_prefix library)
set(moe_Eigen3_options -DBUILD_TESTING=OFF -DEIGEN_BUILD_TESTING=OFF -DEIGEN_BUILD_DOC=OFF -DEIGEN_BUILD_PKGCONFIG=OFF
  -DEIGEN_BUILD_BLAS=OFF -DEIGEN_BUILD_LAPACK=OFF -DEIGEN_BUILD_DEMOS=OFF)

set(moe_xsimd_variable XSIMD)
set(moe_xsimd_apt libxsimd-dev)
set(moe_xsimd_prefix library)
set(moe_xsimd_options -DBUILD_TESTS=OFF)

set(moe_nlohmann_json_variable JSON)
set(moe_nlohmann_json_apt nlohmann-json3-dev)
set(moe_nlohmann_json_prefix library)
set(moe_nlohmann_json_options -DJSON_BuildTests=OFF)

set(moe_Catch2_variable CATCH2)
set(moe_Catch2_apt catch2)
set(moe_Catch2_prefix tools)
set(moe_Catch2_options -DBUILD_TESTING=OFF -DCATCH_BUILD_TESTING=OFF -DCATCH_INSTALL_DOCS=OFF)

set(moe_benchmark_variable BENCHMARK)
set(moe_benchmark_apt libbenchmark-dev)
set(moe_benchmark_prefix tools)
set(moe_benchmark_options -DBENCHMARK_ENABLE_TESTING=OFF -DBENCHMARK_ENABLE_GTEST_TESTS=OFF
  -DBENCHMARK_ENABLE_WERROR=OFF -DBENCHMARK_INSTALL_DOCS=OFF)

# Only apt can provide this one; `make` will do as well.
set(moe_build_tool_apt ninja-build)
