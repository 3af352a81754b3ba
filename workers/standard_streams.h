// Text on standard output and standard error. A stream that takes no more is an error like any
// other, not an exception, as fmt::print has it.
#pragma once

#include <string_view>

#include "core/result.h"

namespace fettle {

// To standard output.
Result<void> print_out(std::string_view text);
// What standard output still holds back. Text that was printed is there only after this.
Result<void> flush_out();

// Whether colours are of use there: a terminal, and no NO_COLOR (https://no-color.org).
bool wants_colour(int fd);

// To standard error; what it does not take is lost, as there is nowhere left to say so.
void print_error(std::string_view text) noexcept;

}  // namespace fettle
