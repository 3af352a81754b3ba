// What the packet loop needs for packets that wait for their verdicts.
#pragma once

#include <cstdint>

#include "workers/held_packets.h"
#include "workers/heritage.h"

namespace fettle {

// For as many packets as the kernel queues, and the bytes of those that may leave changed.
HeldPackets::Size room_for_held(const Heritage& heritage);

// From the kernel; another one each time.
uint64_t random_seed() noexcept;

}  // namespace fettle
