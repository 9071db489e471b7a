# SPDX-License-Identifier: Apache-2.0
# plant(WHAT FROM TO SENTENCE): a page in which TO stands for FROM makes the script that checks it fail with SENTENCE.
# Set before: ROOT, DIR (scratch), page (below ROOT), script (beside this file).
file(READ "${ROOT}/${page}" good)

function(plant what from to sentence)
  string(REPLACE "${from}" "${to}" planted "${good}")
  if(planted STREQUAL good)
    message(SEND_ERROR "${what}: the page has no '${from}'")
  endif()
  file(WRITE "${DIR}/page.md" "${planted}")
  execute_process(COMMAND ${CMAKE_COMMAND} "-DROOT=${ROOT}" "-DPAGE=${DIR}/page.md"
    -P "${CMAKE_CURRENT_LIST_DIR}/${script}" RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  string(REGEX REPLACE "[ \n]+" " " out "${out}")  # CMake wraps long messages
  if(status EQUAL 0 OR NOT out MATCHES "${sentence}")
    message(SEND_ERROR "${what}: wanted '${sentence}', got status ${status}: ${out}")
  endif()
endfunction()
