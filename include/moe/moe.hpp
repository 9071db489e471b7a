// moe: mixture-of-experts layers; this header is the tour, in data-flow order
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moe/core/version.hpp"
