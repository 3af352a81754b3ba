// What the packet loop needs for packets that wait for their verdicts.
#pragma once

#include <cstdint>

#include "workers/held_packets.h"
#include "workers/heritage.h"

namespace fettle {

// For as many packets as the kernel queues, and the bytes of those that may leave changed. None
// where the program holds none.
HeldPackets::Size room_for_held(const Program& program, const WorkerOptions& options);

// Of the memory that a queue's workers hand on: Heritage::slots and Heritage::held.
size_t slots_size(const WorkerOptions& options);
size_t held_size(const Program& program, const WorkerOptions& options);

// From the kernel; another one each time.
uint64_t random_seed() noexcept;

}  // namespace fettle
