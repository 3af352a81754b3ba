// The time, as the loop and what belongs to it take it.
#pragma once

#include <chrono>
#include <cstdint>

namespace fettle {

// Nanoseconds of the steady clock.
inline uint64_t steady_now() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

// Nanoseconds since 1970.
inline uint64_t wall_now() noexcept {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace fettle
