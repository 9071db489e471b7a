// tests/packaging: what a translation unit tells about its own copy of moe, in types that do not depend on it
// SPDX-License-Identifier: Apache-2.0
#pragma once

struct isa_report {
    const char* name;  // of the namespace that its moe lives in
    float y, dx;       // what it computed
    const void* copy;  // where a function of its moe stands
};

isa_report default_isa();
isa_report other_isa();
