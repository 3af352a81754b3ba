// Names and MTUs of network interfaces by index, remembered, since asking costs system calls. A
// socket of any kind is asked, and answers for the network namespace that it was made in, wherever
// the process is.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "core/packet.h"

namespace fettle {

class Interfaces {
 public:
  // The socket is open as long as this is used.
  explicit Interfaces(int socket_fd) : fd_(socket_fd) {}
  Interfaces(const Interfaces&) = delete;
  Interfaces& operator=(const Interfaces&) = delete;

  // Empty for index 0 and for one that is not there. Asks the kernel the first time only.
  const InterfaceName& name(uint32_t index) noexcept;
  // Bytes of an IP packet; 0 for an index of 0 and for one that is not there.
  uint32_t mtu(uint32_t index) noexcept;
  // Names change; what is older than a second is asked for again.
  void expire() noexcept;

 private:
  struct Entry {
    uint32_t index = 0;
    InterfaceName name{};
    uint32_t mtu = 0;  // 0: not asked for yet
  };
  Entry& entry(uint32_t index) noexcept;

  static constexpr size_t kEntries = 256;  // a power of two
  std::array<Entry, kEntries> entries_{};
  int fd_;
  std::chrono::steady_clock::time_point since_{};
};

}  // namespace fettle
