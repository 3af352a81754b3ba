#include "workers/interfaces.h"

#include <net/if.h>

namespace fettle {

const InterfaceName& Interfaces::name(uint32_t index) noexcept {
  static constexpr InterfaceName kNobody{};
  if (index == 0) return kNobody;
  Entry& entry = entries_[index % kEntries];
  if (entry.index != index) {
    entry = {.index = index, .name = {}};
    if_indextoname(index, entry.name.data());
  }
  return entry.name;
}

void Interfaces::expire() noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (now - since_ < std::chrono::seconds(1)) return;
  since_ = now;
  for (Entry& entry : entries_) entry.index = 0;
}

}  // namespace fettle
