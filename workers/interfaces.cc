#include "workers/interfaces.h"

#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>

namespace fettle {

Interfaces::Entry& Interfaces::entry(uint32_t index) noexcept {
  Entry& entry = entries_[index % kEntries];
  if (entry.index != index) {
    entry = {.index = index, .name = {}, .mtu = 0};
    ifreq request{};
    request.ifr_ifindex = static_cast<int>(index);
    if (ioctl(fd_, SIOCGIFNAME, &request) == 0)
      std::ranges::copy(request.ifr_name, entry.name.begin());
  }
  return entry;
}

const InterfaceName& Interfaces::name(uint32_t index) noexcept {
  static constexpr InterfaceName kNobody{};
  return index == 0 ? kNobody : entry(index).name;
}

uint32_t Interfaces::mtu(uint32_t index) noexcept {
  if (index == 0) return 0;
  Entry& mine = entry(index);
  if (mine.mtu > 0) return mine.mtu;
  ifreq request{};
  std::ranges::copy(mine.name, request.ifr_name);
  if (ioctl(fd_, SIOCGIFMTU, &request) == 0) mine.mtu = static_cast<uint32_t>(request.ifr_mtu);
  return mine.mtu;
}

void Interfaces::expire() noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (now - since_ < std::chrono::seconds(1)) return;
  since_ = now;
  for (Entry& entry : entries_) entry.index = 0;
}

}  // namespace fettle
