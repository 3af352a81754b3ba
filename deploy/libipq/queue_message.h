// Messages of nfnetlink_queue, as bytes: requests are written, what the kernel says is read. No
// system calls.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "deploy/libipq/settings.h"

namespace libipq {

struct QueuedPacket {
  uint32_t id = 0;
  uint32_t mark = 0;
  uint64_t seconds = 0;  // 0 where the kernel did not look at the clock
  uint64_t microseconds = 0;
  uint32_t in_index = 0;  // 0 where there is no device
  uint32_t out_index = 0;
  uint8_t family = 0;  // AF_INET, AF_INET6, or AF_BRIDGE
  uint8_t hook = 0;
  uint16_t hw_protocol = 0;  // network order
  uint8_t hw_addrlen = 0;
  uint8_t hw_addr[8] = {};
  std::span<const std::byte> payload;
};

struct KernelMessage {
  enum class Kind {
    kOther,   // nothing that anybody waits for, or damaged
    kPacket,  // `packet` holds
    kAnswer,  // to the request that `sequence` names: `error` is 0 or an errno
  };
  Kind kind = Kind::kOther;
  QueuedPacket packet;
  uint32_t sequence = 0;
  int error = 0;
};

// The datagram's first message; the kernel puts but one into each. `packet.payload` lies in
// `datagram`, whose start is aligned to four bytes.
KernelMessage read_message(std::span<const std::byte> datagram);

// Room for any request without its payload.
struct Request {
  alignas(nlmsghdr) std::byte bytes[128];

  nlmsghdr* header() { return static_cast<nlmsghdr*>(static_cast<void*>(bytes)); }
};

// Asks for nothing but whether this process may ask; before Linux 3.8 it also made the kernel queue
// the family.
void write_family_bind(Request& request, uint8_t family);

// The mode of a queue, and what there is to set when it is bound.
void write_mode(Request& request, const Settings& settings, bool bind, uint8_t mode,
                uint32_t range);

// `payload` bytes are to be sent behind it; 0: the packet stays as it is.
void write_verdict(Request& request, uint16_t queue, uint32_t id, uint32_t verdict,
                   uint16_t payload);

}  // namespace libipq
