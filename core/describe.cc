#include "core/describe.h"

#include <fmt/format.h>

#include "core/protocol_names.h"

namespace fettle {
namespace {

std::string_view version_name(const Packet& packet) {
  return packet.family == Family::kIpv4 ? "IPv4" : "IPv6";
}

bool addresses_are_here(const Packet& packet) {
  if (packet.family == Family::kNone) return false;
  return packet.size >= (packet.family == Family::kIpv4 ? 20 : 40);
}

std::string endpoint(const Packet& packet, const std::byte* address, uint32_t port_at) {
  const std::string text = Address::from_bytes(packet.family, address).to_string();
  if (!packet.has_ports()) return text;
  const uint16_t port = load_be16(packet.data + packet.transport + port_at);
  if (packet.family == Family::kIpv4) return fmt::format("{}:{}", text, port);
  return fmt::format("[{}]:{}", text, port);
}

std::string endpoints(const Packet& packet) {
  return fmt::format("{} {} > {}", version_name(packet), endpoint(packet, packet.src_bytes(), 0),
                     endpoint(packet, packet.dst_bytes(), 2));
}

std::string tcp_words(const Packet& packet) {
  const std::byte* tcp = packet.data + packet.transport;
  std::string flags;
  const uint8_t bits = load_u8(tcp + 13);
  for (uint32_t i = 0; i < 8; ++i) {
    if (bits & (1u << i)) flags += "FSRP.UEW"[i];
  }
  return fmt::format("TCP [{}] seq {}, ack {}, win {},", flags, load_be32(tcp + 4),
                     load_be32(tcp + 8), load_be16(tcp + 14));
}

std::string icmp_words(const Packet& packet) {
  const uint8_t type = load_u8(packet.data + packet.transport);
  const uint8_t code = load_u8(packet.data + packet.transport + 1);
  const std::string_view name = icmp_type_name(packet.family, type);
  std::string out = protocol_name(packet.protocol);
  out += name.empty() ? fmt::format(" type {}", type) : fmt::format(" {}", name);
  if (code != 0) out += fmt::format(" code {}", code);
  Packet quote;
  if (parse_quoted(packet, &quote) && addresses_are_here(quote)) {
    out += fmt::format(", quoting {} {},", endpoints(quote), protocol_name(quote.protocol));
  }
  return out;
}

uint32_t fragment_offset(const Packet& packet) {
  if (packet.family == Family::kIpv4) return (load_be16(packet.data + 6) & 0x1fff) * 8u;
  return load_be16(packet.data + packet.extensions + 2) & 0xfff8;
}

std::string byte_count(uint32_t bytes) {
  return fmt::format("{} byte{}", bytes, bytes == 1 ? "" : "s");
}

std::string transport_words(const Packet& packet) {
  if (packet.later_fragment) {
    return fmt::format("{} fragment at {}, {}", protocol_name(packet.protocol),
                       fragment_offset(packet), byte_count(packet.length - packet.header));
  }
  std::string out = protocol_name(packet.protocol);
  if (packet.has_transport()) {
    if (packet.is(Protocol::kTcp)) out = tcp_words(packet);
    if (packet.is(Protocol::kIcmp) || packet.is(Protocol::kIcmpv6)) out = icmp_words(packet);
  }
  out += ' ' + byte_count(packet.transport_end - packet.payload);
  if (packet.fragment) out += ", first fragment";
  return out;
}

}  // namespace

std::string one_line(const Packet& packet) {
  std::string out;
  if (addresses_are_here(packet)) out = endpoints(packet) + " ";
  if (packet.malformed()) {
    return out + fmt::format("malformed: {}, {}", to_string(packet.stop), byte_count(packet.size));
  }
  out += fmt::format("{}, {} {}", transport_words(packet),
                     packet.family == Family::kIpv4 ? "ttl" : "hop limit", packet.ttl());
  if (packet.truncated()) {
    out += fmt::format(", truncated to {} of {} bytes", packet.size, packet.length);
  }
  return out;
}

}  // namespace fettle
