# SPDX-License-Identifier: Apache-2.0
# cmake -DROOT=checkout [-DPAGE=page.md] [-DORACLE=folder] -P oracle.cmake: every part of docs/parts.md that takes part
# in the forward of a layer is a function of this name in the oracle.
cmake_minimum_required(VERSION 3.22...3.31)
if(NOT PAGE)
  set(PAGE "${ROOT}/docs/parts.md")
endif()
if(NOT ORACLE)
  set(ORACLE "${ROOT}/include/moe/testing")
endif()

# What needs no function: it wraps another part and computes what this one computes.
set(exempt
  features_through keys_only only_if                               # the order of two calls, or no call
  frozen_gate frozen borrow borrowed                               # who trains and who owns
  recompute                                                        # when something is computed
  callable_bank                                                    # the user's own function
  recorded_choice                                                  # a value that holds what `external` gives back
  swiglu_bank geglu_bank reglu_bank relu_bank gelu_bank silu_bank) # ffn_bank by name of its activation

file(READ "${PAGE}" page)
string(FIND "${page}" "## Losses" end)
if(end EQUAL -1)
  message(FATAL_ERROR "${PAGE} has no section '## Losses', behind which no part takes part in the forward of a layer")
endif()
string(SUBSTRING "${page}" 0 ${end} page)
# Lists would break at these.
string(REGEX REPLACE "[][;]" " " page "${page}")
string(REGEX MATCHALL "\n\\| (`[a-z0-9_]+`(, )?)+ \\|" rows "${page}")
string(REGEX MATCHALL "`[a-z0-9_]+`" names "${rows}")
list(TRANSFORM names REPLACE "`" "")
list(REMOVE_DUPLICATES names)
list(LENGTH names count)
if(count LESS 90)
  message(FATAL_ERROR "only ${count} parts were found in ${PAGE}: this script no longer understands it")
endif()

set(oracle "")
file(GLOB headers "${ORACLE}/oracle.hpp" "${ORACLE}/oracle/*.hpp")
foreach(header ${headers})
  file(READ "${header}" text)
  string(APPEND oracle "${text}")
endforeach()
# It must stay short enough to be read as the specification: at most 500 lines of code.
string(REGEX REPLACE "[][;]" " " code "${oracle}")
string(REGEX REPLACE "\n( *//[^\n]*)?" "\n" code "\n${code}")
string(REGEX MATCHALL "\n[^\n]+" code "${code}")
list(LENGTH code lines)
if(lines GREATER 500 OR lines LESS 300)
  message(SEND_ERROR "the oracle has ${lines} lines of code, wanted 300 to 500")
endif()
set(missing "")
foreach(name ${names})
  if(NOT name IN_LIST exempt AND NOT oracle MATCHES "\ninline [a-z_:<>]+ ${name}\\(")
    list(APPEND missing "${name}")
  endif()
endforeach()
foreach(name ${exempt})
  if(NOT name IN_LIST names OR oracle MATCHES "\ninline [a-z_:<>]+ ${name}\\(")
    message(SEND_ERROR "${name} is exempt from the oracle without need: ${PAGE} lacks it or the oracle has it")
  endif()
endforeach()
if(missing)
  list(JOIN missing ", " missing)
  message(FATAL_ERROR "the oracle lacks: ${missing}")
endif()
message(STATUS "${count} parts, all in the oracle or exempt; it has ${lines} lines of code")
