// Names and kinds of devices, which NFQUEUE tells by their numbers alone.
#pragma once

#include <net/if.h>

#include <cstdint>

namespace libipq {

struct Device {
  char name[IFNAMSIZ] = {};  // empty: there is none of this number
  uint16_t kind = 0;         // ARPHRD_...
};

// Asks the kernel, and believes its answer for a second. One thread at a time. All zero bytes is a
// fresh one, but for `socket`.
struct Devices {
  static constexpr uint32_t kPlaces = 16;
  struct Known {
    uint32_t index;
    int64_t until;  // milliseconds of the monotonic clock
    Device device;
  };

  Device find(uint32_t index);

  int socket;  // of any kind, in the network namespace of the packets
  Known known[kPlaces];
};

}  // namespace libipq
