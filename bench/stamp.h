// What the sender writes at the beginning of each UDP payload and the sink reads there:
//
//   0 sequence number | 4 the sender's own address, as a keep-alive has it | 8 when it was sent
//
// All three big endian. A rule of fettle's may change bytes 4 to 7, and the sink sees that it did.
// 12 bytes fit the smallest packet of IMIX, so time comes in units that wrap after 137 seconds.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fettle::bench {

inline constexpr size_t kStampSize = 12;
inline constexpr size_t kSequenceAt = 0, kAddressAt = 4, kTimeAt = 8;
inline constexpr int64_t kTimeUnit = 32;  // nanoseconds of CLOCK_REALTIME
inline constexpr uint16_t kPort = 1331;

inline uint32_t stamp_of(int64_t realtime_ns) {
  return static_cast<uint32_t>(static_cast<uint64_t>(realtime_ns) / kTimeUnit);
}
// From the stamp to `realtime_ns`, which is at most 68 s away either way.
inline int64_t since(uint32_t stamp, int64_t realtime_ns) {
  return static_cast<int32_t>(stamp_of(realtime_ns) - stamp) * kTimeUnit;
}

}  // namespace fettle::bench
