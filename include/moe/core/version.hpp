// core/version: the one place that states the version; CMake reads these three lines
// SPDX-License-Identifier: Apache-2.0
#pragma once

#define MOE_VERSION_MAJOR 0
#define MOE_VERSION_MINOR 1
#define MOE_VERSION_PATCH 0
