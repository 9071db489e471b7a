// examples/support/files: whole files, read and written; faults name the option that named the file
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace example {

// Throws usage_error if the file cannot be read or has more than `most` bytes.
std::string read_file(const std::string& option, const std::string& file, std::size_t most);

// Throws usage_error if the file cannot be written. The check leaves an existing file as it is.
void check_writable(const std::string& option, const std::string& file);
void write_file(const std::string& option, const std::string& file, const std::string& content);

}  // namespace example
