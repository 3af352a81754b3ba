// The TCP header of a segment, as far as streams need it.
#pragma once

#include <cstdint>

#include "core/bytes.h"
#include "core/packet.h"

namespace fettle::stream {

enum TcpFlag : uint8_t {
  kFin = 1,
  kSyn = 2,
  kRst = 4,
  kPsh = 8,
  kAck = 16,
  kUrg = 32,
  kCwr = 128,
};

constexpr uint32_t kHandshakeReach = 1u << 20;  // bytes a first segment may be beyond its SYN

struct Segment {
  uint32_t seq = 0;
  uint32_t ack = 0;     // without StreamOutput::shift
  uint32_t length = 0;  // of the data, without SYN and FIN
  uint8_t flags = 0;
  uint32_t sack = 0;  // offset of a SACK option from packet.data; 0: none
  uint32_t sack_blocks = 0;
  bool is_signed = false;  // TCP-MD5 (RFC 2385) or TCP-AO (RFC 5925)

  bool has(TcpFlag flag) const { return (flags & flag) != 0; }
  uint32_t end() const { return seq + length; }
  uint32_t end_with_fin() const { return end() + (has(kFin) ? 1 : 0); }
};

// Requires a packet with a TCP header, whole.
Segment segment_of(const Packet& packet);

}  // namespace fettle::stream
