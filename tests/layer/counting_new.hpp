// Counts what the calling thread allocates through operator new, in the whole program that links counting_new.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

void start_counting();
int stop_counting();
