// tests/core: what Linux says of a page of this process
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

// The flags of the mapping around p, as /proc/self/smaps names them; empty where it is not to be read.
inline std::string page_flags(const void* p) {
    std::ifstream maps("/proc/self/smaps");
    bool inside = false;
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t begin = 0, end = 0;
        if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
            inside = begin <= reinterpret_cast<std::uintptr_t>(p) && reinterpret_cast<std::uintptr_t>(p) < end;
        }
        if (inside && line.rfind("VmFlags:", 0) == 0) return line.substr(8);
    }
    return "";
}

// Whether this kernel has transparent huge pages to give, and says so.
inline bool tells_of_huge_pages() {
    return std::ifstream("/proc/self/smaps") && std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled");
}
