# SPDX-License-Identifier: Apache-2.0
# cmake -DCXX=g++ -DOBJDUMP=objdump -DDIR=scratch -P globals_self_test.cmake: each planted variable is found.
cmake_minimum_required(VERSION 3.22...3.31)
file(MAKE_DIRECTORY "${DIR}")

function(look name status_wanted text)
  file(WRITE "${DIR}/${name}.cpp" "namespace moe { inline namespace v0 {\n${text}\n} }\nint other = 1;\n"
    "int main() { return moe::use(other) == 12345; }\n")
  execute_process(COMMAND "${CXX}" -std=c++20 -O1 "${DIR}/${name}.cpp" -o "${DIR}/${name}" RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${name}: the planted program does not compile")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} "-DOBJDUMP=${OBJDUMP}" "-DFILES=${DIR}/${name}"
    -P "${CMAKE_CURRENT_LIST_DIR}/globals.cmake" RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  string(REGEX REPLACE "[ \n]+" " " out "${out}")  # CMake wraps long messages
  if(status_wanted STREQUAL "good" AND NOT status EQUAL 0)
    message(SEND_ERROR "${name}: refused: ${out}")
  elseif(status_wanted STREQUAL "bad" AND (status EQUAL 0 OR NOT out MATCHES "mutable memory"))
    message(SEND_ERROR "${name}: not found: ${out}")
  endif()
endfunction()

look(constants good "inline constexpr int table[3] = {1, 2, 3}; int use(int i) { return table[i % 3]; }")
look(object good "struct thing { virtual int f() { return 1; } }; int use(int i) { thing t; thing* p = &t; return p->f() + i; }")
look(inline_variable bad "inline int count = 0; int use(int i) { return count += i; }")
look(static_in_function bad "inline int use(int i) { static int calls = 3; return calls += i; }")
look(static_in_template bad "template <class T> T f(T i) { static T calls{}; return calls += i; } int use(int i) { return f(i); }")
look(guarded_static bad
  "struct s { int v; s(int i) : v(i) {} }; inline int use(int i) { static s once(i); return once.v; }")
look(thread_local bad "inline thread_local int last = 4; int use(int i) { return last += i; }")
look(static_member bad "template <class T> struct box { static inline T v = 5; }; int use(int i) { return box<int>::v += i; }")
