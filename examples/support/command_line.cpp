// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "moe/core/error.hpp"
#include "moe/io/save.hpp"

namespace example {

void refuse(const std::string& name, const std::string& wanted, const std::string& got) {
    throw usage_error("--" + name + ": wanted " + wanted + ", got '" + got + "'");
}

double real(const std::string& name, const std::string& text, double most) {
    // strtod alone would also read blanks, hexadecimal numbers and "nan".
    const bool plain = !text.empty() && text.find_first_not_of("0123456789.eE+-") == std::string::npos;
    char* stop = nullptr;
    const double value = std::strtod(text.c_str(), &stop);
    if (!plain || *stop != '\0' || !(value >= 0 && value <= most)) {
        std::ostringstream wanted;
        wanted << "a number from 0 to " << most;
        refuse(name, wanted.str(), text);
    }
    return value;
}

std::string file_name(const std::string& name, const std::string& text) {
    if (text.empty()) refuse(name, "the name of a file", text);
    return text;
}

void require_as_saved(const std::set<std::string>& given, const std::string& file, const std::string& name,
                      const std::string& saved, const std::string& chosen) {
    if (given.count(name) != 0 && saved != chosen) refuse(name, saved + " as in " + file, chosen);
}

int exit_status(const char* program, const std::function<void()>& body) {
    try {
        body();
        return 0;
    } catch (const usage_error& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
        return 2;
    } catch (const moe::io_error& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
        return 2;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
        return 1;
    }
}

}  // namespace example
