#include "workers/amount_text.h"

#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace fettle {

std::string duration_text(uint64_t ms) {
  const uint64_t seconds = ms / 1000;
  if (seconds < 60) return fmt::format("{}.{} s", seconds, ms % 1000 / 100);
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {:02} h", seconds / 86400, seconds / 3600 % 24);
}

std::string moment_text(int64_t at) {
  const auto seconds = static_cast<time_t>(at);
  tm local{};
  if (localtime_r(&seconds, &local) == nullptr) return fmt::format("second {} of 1970", at);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", local);
}

std::string plural(size_t number, std::string_view thing) {
  return fmt::format("{} {}{}", number, thing, number == 1 ? "" : "s");
}

std::string short_number(double number) {
  constexpr std::string_view kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t unit = 0;
  // 999.5 would be rounded to four digits.
  for (; number >= 999.5 && unit + 1 < std::size(kUnits); ++unit) number /= 1000;
  if (unit == 0 && (number >= 9.95 || number == static_cast<int>(number))) {
    return fmt::format("{:.0f}", number);
  }
  const int decimals = number >= 99.95 ? 0 : number >= 9.995 || unit == 0 ? 1 : 2;
  return fmt::format("{:.{}f}{}", number, decimals, kUnits[unit]);
}

}  // namespace fettle
