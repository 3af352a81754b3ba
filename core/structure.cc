#include "core/structure.h"

#include <algorithm>
#include <cstring>

#include "core/checksum.h"
#include "core/ip_numbers.h"

namespace fettle {
namespace {

// An edit that is not made yet, against the bytes as they are.
class Pending {
 public:
  Pending(const Packet& packet, uint32_t at, std::span<const std::byte> bytes)
      : data_(packet.data),
        at_(at),
        end_(at + static_cast<uint32_t>(bytes.size())),
        bytes_(bytes) {}

  bool touches(uint32_t from, uint32_t to) const { return at_ < to && from < end_; }
  bool keeps(uint32_t from, uint32_t count) const {
    const uint32_t begin = std::max(from, at_);
    const uint32_t end = std::min(from + count, end_);
    return begin >= end || std::memcmp(data_ + begin, &bytes_[begin - at_], end - begin) == 0;
  }
  bool keeps_bits(uint32_t byte, uint8_t mask) const {
    if (!touches(byte, byte + 1)) return true;
    return ((load_u8(data_ + byte) ^ load_u8(&bytes_[byte - at_])) & mask) == 0;
  }

 private:
  const std::byte* data_;
  uint32_t at_;
  uint32_t end_;
  std::span<const std::byte> bytes_;
};

bool keeps_ipv4_options(const Packet& packet, const Pending& edit) {
  uint32_t at = kIpv4Header;
  while (at < packet.header) {
    const uint8_t type = load_u8(packet.data + at);
    if (!edit.keeps(at, 1)) return false;
    if (type == 0) return true;
    if (type == 1) {
      ++at;
      continue;
    }
    if (packet.header - at < 2) return true;
    const uint32_t size = load_u8(packet.data + at + 1);
    if (!edit.keeps(at + 1, 1)) return false;
    if (size < 2 || size > packet.header - at) return true;
    const bool route = type == kLooseSourceRoute || type == kStrictSourceRoute;
    if (route && size > 2 && !edit.keeps(at + 2, 1)) return false;
    at += size;
  }
  return true;
}

bool keeps_ipv6_options(const Packet& packet, const Pending& edit, uint32_t at, uint32_t end) {
  while (at < end) {
    const uint8_t type = load_u8(packet.data + at);
    if (!edit.keeps(at, 1)) return false;
    if (type == 0) {
      ++at;
      continue;
    }
    if (end - at < 2) return true;
    if (!edit.keeps(at + 1, 1)) return false;
    at += 2 + load_u8(packet.data + at + 1);
  }
  return true;
}

bool keeps_extensions(const Packet& packet, const Pending& edit) {
  uint8_t type = load_u8(packet.data + 6);
  for (uint32_t at = kIpv6Header; at < packet.header;) {
    const std::byte* header = packet.data + at;
    const uint32_t size = extension_size(type, header);
    if (!edit.keeps(at, 2)) return false;
    if (type == kFragment && !edit.keeps(at + 2, 2)) return false;
    if (type == kRouting) {
      const bool compressed = load_u8(header + 2) == kRoutingRpl;
      if (!edit.keeps(at + 2, compressed ? 4 : 2)) return false;
    }
    if (type == kDestinationOptions && !keeps_ipv6_options(packet, edit, at + 2, at + size)) {
      return false;
    }
    type = load_u8(header);
    at += size;
  }
  return true;
}

bool keeps_network(const Packet& packet, const Pending& edit) {
  if (packet.family == Family::kIpv4) {
    return edit.keeps(0, 1) && edit.keeps(2, 2) && edit.keeps_bits(6, 0x3f) && edit.keeps(7, 1) &&
           edit.keeps(9, 3) &&
           (!edit.touches(kIpv4Header, packet.header) || keeps_ipv4_options(packet, edit));
  }
  return edit.keeps_bits(0, 0xf0) && edit.keeps(4, 3) &&
         (!edit.touches(kIpv6Header, packet.header) || keeps_extensions(packet, edit));
}

bool keeps_transport(const Packet& packet, const Pending& edit) {
  if (packet.transport == 0 || packet.stop == ParseStop::kUnknownTransport) return true;
  const uint32_t at = packet.transport;
  const auto field = static_cast<uint32_t>(checksum_field(packet.protocol));
  if (!edit.keeps(at + field, packet.is(Protocol::kSctp) ? 4 : 2)) return false;
  if (packet.is(Protocol::kTcp)) return edit.keeps_bits(at + 12, 0xf0);
  if (packet.is(Protocol::kUdp) || packet.is(Protocol::kUdpLite)) return edit.keeps(at + 4, 2);
  return true;
}

}  // namespace

bool keeps_structure(const Packet& packet, uint32_t at, std::span<const std::byte> bytes) {
  const Pending edit(packet, at, bytes);
  if (at < packet.header && !keeps_network(packet, edit)) return false;
  return keeps_transport(packet, edit);
}

}  // namespace fettle
