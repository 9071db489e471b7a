# SPDX-License-Identifier: Apache-2.0
# moe as a folder on the include path, with nothing but the compiler: both standards, a user's own warnings as errors (the
# headers are no system headers here), without RTTI, two translation units compiled as one, and a debug build.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")
file(REMOVE_RECURSE "${DIR}")
file(MAKE_DIRECTORY "${DIR}")
set(consumer "${SOURCE}/tests/packaging/consumer")

string(REPLACE ":" ";" places "${INCLUDES}")
set(paths "-I${SOURCE}/include")
foreach(place ${places})
  list(APPEND paths -isystem "${place}")
endforeach()

# try(NAME SOURCE... FLAGS...): compiles, links and runs.
function(try name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;FLAGS")
  run("${name} does not compile" "${CXX}" ${paths} ${arg_FLAGS} ${arg_SOURCES} -pthread -o "${DIR}/${name}")
  run("${name} fails" "${DIR}/${name}")
  message(STATUS "${name}: ${run_output}")
endfunction()

# What may be tried together, is: every build takes ten seconds.
set(warnings -Wall -Wextra -Wpedantic -Wconversion -Werror)
try(strict_20 SOURCES "${consumer}/use_moe.cpp" FLAGS -std=c++20 -O1 ${warnings} -Wshadow -Wsign-conversion)
try(strict_23_without_rtti SOURCES "${consumer}/use_moe.cpp" FLAGS -std=c++2b -O0 -fno-rtti ${warnings})

try(io SOURCES "${consumer}/use_io.cpp" FLAGS -std=c++20 -O0 -fno-rtti ${warnings} -Wshadow -Wsign-conversion)

file(WRITE "${DIR}/unity.cpp"
  "#define main first_main\n#include \"${consumer}/use_core.cpp\"\n#undef main\n#include \"${consumer}/use_moe.cpp\"\n")
try(debug_unity SOURCES "${DIR}/unity.cpp" FLAGS -std=c++20 -O0 -g -D_GLIBCXX_ASSERTIONS ${warnings})
