# SPDX-License-Identifier: Apache-2.0
# cmake -DOBJDUMP=objdump -DFILES="a|b" -P globals.cmake: no object file or program holds mutable memory that belongs to
# namespace moe: neither a variable at namespace scope nor a static inside a function (style: state lives in objects
# that the caller passes). Read from the symbol tables, where templates show what they became.
cmake_minimum_required(VERSION 3.22...3.31)
string(REPLACE "|" ";" files "${FILES}")
set(symbols 0)
set(faults 0)
foreach(file ${files})
  execute_process(COMMAND "${OBJDUMP}" -tC "${file}" OUTPUT_VARIABLE table RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${OBJDUMP} cannot read ${file}")
  endif()
  # Brackets and semicolons would end list elements early; no decision below needs them.
  string(REGEX REPLACE "[][;]" " " table "${table}")
  string(REPLACE "\n" ";" table "${table}")
  foreach(line ${table})
    # address, seven flags, section, size, name
    if(NOT line MATCHES "^[0-9a-f]+ ....... \\.(t?bss|t?data)[^ \t]*\t[0-9a-f]+ +(\\.hidden )?([^.].*)$")
      continue()
    endif()
    math(EXPR symbols "${symbols} + 1")
    set(section "${CMAKE_MATCH_1}")
    set(name "${CMAKE_MATCH_3}")
    # Virtual tables and type descriptions are constant after relocation.
    if(line MATCHES "\\.data\\.rel\\.ro" OR name MATCHES "^(vtable|VTT|typeinfo|construction vtable)")
      continue()
    endif()
    # The address of core/tape.hpp's record_type is the identity of a type: never written, and not const because equal
    # constants may be merged.
    if(name MATCHES "moe::[a-z0-9_]+::detail::record_type<")
      continue()
    endif()
    if(name MATCHES "^(guard variable for |TLS [a-z]+ function for )?moe::")
      message(SEND_ERROR "${file}: mutable memory in .${section}: ${name}")
      math(EXPR faults "${faults} + 1")
    endif()
  endforeach()
endforeach()
list(LENGTH files count)
message(STATUS "${count} files, ${symbols} variables looked at, ${faults} faults")
if(symbols EQUAL 0)
  message(FATAL_ERROR "no variable was seen at all; the table was not understood")
endif()
