# SPDX-License-Identifier: Apache-2.0
# cmake -DCXX=g++ -DFLAGS="-Ia|-Ib" -DHEADER=moe.hpp -DOUT=file -P precompile.cmake: the header that every case includes
# first, compiled once for all of them.
cmake_minimum_required(VERSION 3.22...3.31)
string(REPLACE "|" ";" flags "${FLAGS}")
get_filename_component(dir "${OUT}" DIRECTORY)
file(MAKE_DIRECTORY "${dir}")
execute_process(COMMAND "${CXX}" -std=c++20 ${flags} -x c++-header "${HEADER}" -o "${OUT}"
  RESULT_VARIABLE status ERROR_VARIABLE text)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${HEADER} does not compile:\n${text}")
endif()
