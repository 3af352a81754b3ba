// Counters in memory that other processes may read: one writer each, so that an increment is a load
// and a store and no locked instruction.
#pragma once

#include <atomic>
#include <cstdint>

namespace fettle {

inline void bump(uint64_t& counter, uint64_t by = 1) noexcept {
  std::atomic_ref<uint64_t> shared(counter);
  shared.store(shared.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

// For the readers.
inline uint64_t counted(uint64_t& counter) noexcept {
  return std::atomic_ref<uint64_t>(counter).load(std::memory_order_relaxed);
}

}  // namespace fettle
