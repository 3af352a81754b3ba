#include <array>

#include "core/mangle.h"

namespace fettle {
namespace {

Edit write_u8(Packet& packet, uint32_t offset, uint8_t value) {
  const std::byte byte{value};
  return write(packet, offset, {&byte, 1});
}

Edit write_u16(Packet& packet, uint32_t offset, uint16_t value) {
  std::array<std::byte, 2> bytes;
  store_be16(bytes.data(), value);
  return write(packet, offset, bytes);
}

// DSCP and ECN: one byte in IPv4, astride the first two in IPv6.
Edit set_traffic_class(Packet& packet, uint8_t mask, uint8_t value) {
  if (packet.malformed()) return Edit::kMiss;
  const auto octet = static_cast<uint8_t>((packet.traffic_class() & ~mask) | (value & mask));
  if (packet.family == Family::kIpv4) return write_u8(packet, 1, octet);
  const uint16_t others = load_be16(packet.data) & 0xf00f;
  return write_u16(packet, 0, static_cast<uint16_t>(others | octet << 4));
}

Edit set_address(Packet& packet, uint32_t offset, const Address& address) {
  if (packet.family != address.family) return Edit::kMiss;
  return write(packet, offset, address.span());
}

// Offset of the value of TCP's option 2 (RFC 9293 3.2), or 0.
uint32_t find_mss(const Packet& packet) {
  uint32_t at = packet.transport + 20;
  while (at < packet.payload) {
    const uint8_t kind = load_u8(packet.data + at);
    if (kind == 0) return 0;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (packet.payload - at < 2) return 0;
    const uint32_t size = load_u8(packet.data + at + 1);
    if (size < 2 || size > packet.payload - at) return 0;
    if (kind == 2 && size == 4) return at + 2;
    at += size;
  }
  return 0;
}

constexpr uint8_t kSyn = 0x02;

}  // namespace

Edit set_ttl(Packet& packet, uint8_t ttl) {
  return write_u8(packet, packet.family == Family::kIpv4 ? 8 : 7, ttl);
}

Edit set_dscp(Packet& packet, uint8_t dscp) {
  return dscp > 63 ? Edit::kMiss : set_traffic_class(packet, 0xfc, static_cast<uint8_t>(dscp << 2));
}

Edit set_ecn(Packet& packet, uint8_t ecn) {
  return ecn > 3 ? Edit::kMiss : set_traffic_class(packet, 0x03, ecn);
}

Edit set_src(Packet& packet, const Address& address) {
  return set_address(packet, packet.family == Family::kIpv4 ? 12 : 8, address);
}

Edit set_dst(Packet& packet, const Address& address) {
  return set_address(packet, packet.family == Family::kIpv4 ? 16 : 24, address);
}

Edit set_src_port(Packet& packet, uint16_t port) {
  return packet.has_ports() ? write_u16(packet, packet.transport, port) : Edit::kMiss;
}

Edit set_dst_port(Packet& packet, uint16_t port) {
  return packet.has_ports() ? write_u16(packet, packet.transport + 2, port) : Edit::kMiss;
}

Edit set_flow_label(Packet& packet, uint32_t label) {
  if (packet.malformed() || packet.family != Family::kIpv6 || label > 0xfffff) return Edit::kMiss;
  std::array<std::byte, 4> bytes;
  store_be32(bytes.data(), (load_be32(packet.data) & 0xfff00000) | label);
  return write(packet, 0, bytes);
}

Edit set_tcp_window(Packet& packet, uint16_t window) {
  if (!packet.has_transport() || !packet.is(Protocol::kTcp)) return Edit::kMiss;
  return write_u16(packet, packet.transport + 14, window);
}

Edit clamp_mss(Packet& packet, uint16_t mss) {
  if (!packet.has_transport() || !packet.is(Protocol::kTcp)) return Edit::kMiss;
  if ((load_u8(packet.data + packet.transport + 13) & kSyn) == 0) return Edit::kMiss;
  const uint32_t at = find_mss(packet);
  if (at == 0) return Edit::kMiss;
  const uint16_t stated = load_be16(packet.data + at);
  return write_u16(packet, at, stated > mss ? mss : stated);
}

}  // namespace fettle
