// What the old interface had no words for, from the environment.
#pragma once

#include <cstdint>

namespace libipq {

struct Settings {
  uint16_t queue = 0;
  uint32_t length = 1024;  // the kernel's own, ip_queue's and NFQUEUE's alike
  bool length_given = false;
  bool fail_open = false;
};

// LIBIPQ_QUEUE6 (for IPv6, before LIBIPQ_QUEUE), LIBIPQ_QUEUE, LIBIPQ_QUEUE_LENGTH,
// LIBIPQ_FAIL_OPEN. False: one of them is no number, or out of its range.
bool read_settings(bool ipv6, Settings& settings);

}  // namespace libipq
