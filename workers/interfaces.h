// Names of network interfaces by index, remembered, since asking costs three system calls.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "core/packet.h"

namespace fettle {

class Interfaces {
 public:
  // Empty for index 0 and for one that is not there. Asks the kernel the first time only.
  const InterfaceName& name(uint32_t index) noexcept;
  // Names change; what is older than a second is asked for again.
  void expire() noexcept;

 private:
  struct Entry {
    uint32_t index = 0;
    InterfaceName name{};
  };
  static constexpr size_t kEntries = 256;  // a power of two
  std::array<Entry, kEntries> entries_{};
  std::chrono::steady_clock::time_point since_{};
};

}  // namespace fettle
