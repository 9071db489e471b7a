# SPDX-License-Identifier: Apache-2.0
# cmake -DCXX=g++ -DDIR=scratch -P self_test.cmake: the driver accepts a good case and refuses each bad one by name.
cmake_minimum_required(VERSION 3.22...3.31)
file(MAKE_DIRECTORY "${DIR}")

function(look name sentence text)
  file(WRITE "${DIR}/${name}.cpp" "${text}")
  execute_process(COMMAND ${CMAKE_COMMAND} "-DCXX=${CXX}" "-DFLAGS=-I${DIR}" "-DCASE=${DIR}/${name}.cpp"
    -P "${CMAKE_CURRENT_LIST_DIR}/run_case.cmake" RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  string(REGEX REPLACE "[ \n]+" " " out "${out}")
  if(sentence STREQUAL "" AND NOT status EQUAL 0)
    message(SEND_ERROR "${name}: refused: ${out}")
  elseif(NOT sentence STREQUAL "" AND (status EQUAL 0 OR NOT out MATCHES "${sentence}"))
    message(SEND_ERROR "${name}: wanted '${sentence}', got status ${status}: ${out}")
  endif()
endfunction()

set(mistake "#ifndef MOE_COMPILE_OK\nstatic_assert(sizeof(int) == 1, \"ints are [not] one byte; use char\")")
set(end "\n#endif\n")
look(good "" "// expect: ints are [not] one byte; use char\n${mistake};${end}")
look(another_sentence "does not contain the sentence" "// expect: ints are two bytes\n${mistake};${end}")
look(two_errors "reports 2" "// expect: ints are\n${mistake};\nint a = b;${end}")
look(no_error "compiles, but should fail" "// expect: ints are\n// no MOE_COMPILE_OK\nint a = 1;\n")
look(no_control "has no control" "// expect: ints are\nint a = b;\n")
look(broken_control "the control does not compile" "// expect: ints are\n${mistake};${end}int a = b;\n")
look(no_sentence "needs one line" "${mistake};${end}")
