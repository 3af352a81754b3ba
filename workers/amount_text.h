// Times and numbers as people read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fettle {

std::string duration_text(uint64_t ms);  // "3.7 s", "2 h 13 min"
// Seconds since 1970, in the reader's time zone: "2026-11-29 18:29:43".
std::string moment_text(int64_t at);
std::string plural(size_t number, std::string_view thing);  // "1 rule", "2 rules"
// In five columns at most, three digits of it right: "0", "4.2", "999", "20.1k", "1.23M".
std::string short_number(double number);

}  // namespace fettle
