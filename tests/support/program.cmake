# SPDX-License-Identifier: Apache-2.0
# What the scripts that try an example program share. They set `program`, its name, and `figure`, a pattern of its last line
# with the figure in parentheses, and take the path of the executable in the variable of the program's name in capitals:
#
#   cmake -DTEXT=<program> -DWORK=<scratch folder> [-DPART=...] -P text.cmake
string(TOUPPER "${program}" variable)
foreach(needed ${variable} WORK)
  if(NOT DEFINED ${needed})
    message(FATAL_ERROR "${program}.cmake: -D${needed}= is missing")
  endif()
endforeach()
set(executable "${${variable}}")
if(NOT DEFINED PART)
  set(PART quick)
endif()
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")

# Runs the program in the scratch folder; sets status, out and err.
macro(run)
  execute_process(COMMAND "${executable}" ${ARGN} WORKING_DIRECTORY "${WORK}"
    RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err)
  string(JOIN " " command ${program} ${ARGN})
endmacro()

function(fail sentence)
  message(FATAL_ERROR "${command}: ${sentence}\nstatus ${status}\n--- stdout\n${out}--- stderr\n${err}")
endfunction()

# The run must have worked, its last line must be the figure, and nothing may be on stderr. Sets `reached`.
macro(expect_done)
  if(NOT status EQUAL 0)
    fail("wanted status 0")
  endif()
  if(NOT err STREQUAL "")
    fail("wanted nothing on stderr")
  endif()
  if(NOT out MATCHES "\n${figure}\n$")
    fail("wanted a last line that matches ${figure}")
  endif()
  set(reached "${CMAKE_MATCH_1}")
endmacro()

# The run must be refused: status 2, one line on stderr that matches, nothing on stdout.
function(expect_refused pattern)
  run(${ARGN})
  if(NOT status EQUAL 2)
    fail("wanted status 2")
  endif()
  if(NOT out STREQUAL "")
    fail("wanted nothing on stdout")
  endif()
  if(NOT err MATCHES "^${program}: [^\n]+\n$")
    fail("wanted one line on stderr")
  endif()
  if(NOT err MATCHES "${pattern}")
    fail("wanted a message that matches ${pattern}")
  endif()
endfunction()

# Sets `json` and json_KEY for every key, all of which the results file must have.
macro(read_json file)
  file(READ "${WORK}/${file}" json)
  foreach(key ${ARGN})
    string(JSON json_${key} ERROR_VARIABLE fault GET "${json}" ${key})
    if(fault)
      message(FATAL_ERROR "${command}: ${file} lacks ${key}: ${fault}\n${json}")
    endif()
  endforeach()
endmacro()
