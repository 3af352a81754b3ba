#include "core/flow_hash.h"

#include "core/hash.h"

namespace fettle {
namespace {

uint64_t end_hash(const Packet& packet, const std::byte* address, uint32_t port) {
  if (packet.family == Family::kIpv4) return mix(uint64_t{load_be32(address)} << 16 | port);
  // Ports and interface identifiers are small numbers alike: as they are, one would undo the other.
  const uint64_t spread = port * 0x9e3779b97f4a7c15u;
  return mix(mix(load_be64(address)) ^ load_be64(address + 8) ^ spread);
}

}  // namespace

uint32_t flow_hash(const Packet& packet) noexcept {
  if (packet.malformed()) return 0;
  const bool ports = packet.has_ports() && !packet.fragment;
  const uint64_t source = end_hash(packet, packet.src_bytes(), ports ? packet.src_port() : 0);
  const uint64_t destination = end_hash(packet, packet.dst_bytes(), ports ? packet.dst_port() : 0);
  return static_cast<uint32_t>(mix(source + destination + packet.protocol) >> 32);
}

}  // namespace fettle
