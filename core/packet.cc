#include "core/packet.h"

#include <algorithm>
#include <limits>

#include "core/ip_numbers.h"

namespace fettle {
namespace {

// A source route that is not used up: the packet's destination is the last address in it
// (RFC 791 3.1; RFC 1122 3.2.1.8).
void find_source_route(Packet& packet, uint32_t end) {
  uint32_t at = kIpv4Header;
  while (at < end) {
    const uint8_t type = load_u8(packet.data + at);
    if (type == 0) return;
    if (type == 1) {
      ++at;
      continue;
    }
    if (end - at < 2) return;
    const uint32_t size = load_u8(packet.data + at + 1);
    if (size < 2 || size > end - at) return;
    if (type == kLooseSourceRoute || type == kStrictSourceRoute) {
      const bool sane = size >= 7 && (size - 3) % 4 == 0;
      if (sane && load_u8(packet.data + at + 2) <= size) packet.final_destination = at + size - 4;
      return;
    }
    at += size;
  }
}

// The final destination is in a routing header with segments left. Types that are not known, or say
// what cannot be, leave the header's own in place, as a node on the way would.
void read_routing_header(Packet& packet, uint32_t at, uint32_t size) {
  const std::byte* header = packet.data + at;
  if (load_u8(header + 3) == 0) return;
  switch (load_u8(header + 2)) {
    case 0:
    case 2:
      if (size < 24) return;
      packet.final_destination = at + 8 + ((size - 8) / 16 - 1) * 16;
      packet.final_elided = 0;
      break;
    case kRoutingRpl: {
      const uint32_t elided = load_u8(header + 4) & 0xf;
      const uint32_t pad = load_u8(header + 5) >> 4;
      if (size < 8 + pad + 16 - elided) return;
      packet.final_destination = at + size - pad - 16;
      packet.final_elided = static_cast<uint8_t>(elided);
      break;
    }
    case kRoutingSegments:  // segments stand in reverse order
      if (size < 24) return;
      packet.final_destination = at + 8;
      packet.final_elided = 0;
      break;
    default:
      break;
  }
}

void find_home_address(Packet& packet, uint32_t at, uint32_t end) {
  at += 2;
  while (end - at >= 2) {
    const uint8_t type = load_u8(packet.data + at);
    if (type == 0) {
      ++at;
      continue;
    }
    const uint32_t size = load_u8(packet.data + at + 1);
    if (size > end - at - 2) return;
    if (type == kHomeAddressOption && size == 16) {
      packet.home_address = at + 2;
      return;
    }
    at += 2 + size;
  }
}

enum class Chain : uint8_t { kTransport, kLaterFragment, kTruncated };

// Follows the chain from the IPv6 header; packet.header is then its end.
Chain walk_extensions(Packet& packet) {
  uint32_t at = kIpv6Header;
  while (is_extension(packet.protocol)) {
    if (packet.size < at || packet.size - at < 8) return Chain::kTruncated;
    const std::byte* header = packet.data + at;
    const uint32_t size = extension_size(packet.protocol, header);
    if (size > packet.size - at) return Chain::kTruncated;

    packet.extensions = at;
    if (packet.protocol == kRouting) read_routing_header(packet, at, size);
    if (packet.protocol == kDestinationOptions && packet.home_address == 0) {
      find_home_address(packet, at, at + size);
    }
    const bool fragment = packet.protocol == kFragment;
    packet.protocol = load_u8(header);
    at += size;
    packet.header = at;
    if (fragment) {
      const uint16_t field = load_be16(header + 2);
      packet.later_fragment = (field & 0xfff8) != 0;
      packet.fragment |= (field & 0xfff9) != 0;
      if (packet.later_fragment) return Chain::kLaterFragment;
    }
  }
  return Chain::kTransport;
}

// `minimum` bytes of header have to be there; its own length is at least `minimum`.
ParseStop end_header(Packet& packet, uint32_t header_size) {
  if (packet.size - packet.transport < header_size) return ParseStop::kTruncatedTransport;
  packet.payload = packet.transport + header_size;
  return ParseStop::kComplete;
}

ParseStop parse_tcp(Packet& packet) {
  const uint32_t here = packet.size - packet.transport;
  if (here < 20) return ParseStop::kTruncatedTransport;
  const uint32_t size = (load_u8(packet.data + packet.transport + 12) >> 4) * 4u;
  if (size < 20) return ParseStop::kBadTransportLength;
  if (size > packet.length - packet.transport && !packet.fragment) {
    return ParseStop::kBadTransportLength;
  }
  return end_header(packet, size);
}

ParseStop parse_udp(Packet& packet) {
  if (packet.size - packet.transport < 8) return ParseStop::kTruncatedTransport;
  const uint32_t present = packet.length - packet.transport;
  const uint32_t size = load_be16(packet.data + packet.transport + 4);
  const bool jumbo = size == 0 && packet.family == Family::kIpv6;  // RFC 2675
  if (!jumbo) {
    if (size < 8 || (size > present && !packet.fragment)) return ParseStop::kBadTransportLength;
    packet.transport_end = packet.transport + std::min(size, present);
  }
  return end_header(packet, 8);
}

ParseStop parse_udp_lite(Packet& packet) {
  if (packet.size - packet.transport < 8) return ParseStop::kTruncatedTransport;
  const uint32_t coverage = load_be16(packet.data + packet.transport + 4);
  const bool beyond = coverage > packet.length - packet.transport && !packet.fragment;
  if ((coverage != 0 && coverage < 8) || beyond) return ParseStop::kBadTransportLength;
  return end_header(packet, 8);
}

ParseStop parse_transport(Packet& packet) {
  packet.transport = packet.header;
  packet.transport_end = packet.length;
  switch (Protocol{packet.protocol}) {
    case Protocol::kTcp:
      return parse_tcp(packet);
    case Protocol::kUdp:
      return parse_udp(packet);
    case Protocol::kUdpLite:
      return parse_udp_lite(packet);
    case Protocol::kSctp:
      return end_header(packet, 12);
    case Protocol::kIcmp:
      if (packet.family == Family::kIpv4) return end_header(packet, 8);
      break;
    case Protocol::kIcmpv6:
      if (packet.family == Family::kIpv6) return end_header(packet, 8);
      break;
  }
  packet.payload = packet.transport;
  return ParseStop::kUnknownTransport;
}

// Bytes beyond the IP length are left out of size.
void set_length(Packet& packet, uint32_t length) {
  packet.length = length;
  packet.size = std::min(packet.size, length);
}

ParseStop parse_ipv4(Packet& packet) {
  packet.family = Family::kIpv4;
  if (packet.size < kIpv4Header) return ParseStop::kTruncatedNetwork;
  const uint32_t header = (load_u8(packet.data) & 0xf) * 4u;
  uint32_t length = load_be16(packet.data + 2);
  if (length == 0 && packet.size > header) length = packet.size;
  if (header < kIpv4Header || length < header) return ParseStop::kBadNetworkLength;
  set_length(packet, length);
  if (packet.size < header) return ParseStop::kTruncatedNetwork;

  packet.header = header;
  packet.extensions = 9;
  packet.protocol = load_u8(packet.data + 9);
  packet.final_destination = 16;
  if (header > kIpv4Header) find_source_route(packet, header);
  const uint16_t fragment = load_be16(packet.data + 6);
  packet.later_fragment = (fragment & 0x1fff) != 0;
  packet.fragment = (fragment & 0x3fff) != 0;
  return packet.later_fragment ? ParseStop::kLaterFragment : parse_transport(packet);
}

ParseStop parse_ipv6(Packet& packet) {
  packet.family = Family::kIpv6;
  if (packet.size < kIpv6Header) return ParseStop::kTruncatedNetwork;
  const uint32_t payload = load_be16(packet.data + 4);
  packet.protocol = load_u8(packet.data + 6);
  const bool unknown_length = payload == 0 && packet.protocol != kNoNextHeader;
  set_length(packet, unknown_length ? packet.size : kIpv6Header + payload);

  packet.header = kIpv6Header;
  packet.extensions = 6;
  packet.final_destination = 24;
  switch (walk_extensions(packet)) {
    case Chain::kTruncated:
      packet.header = 0;
      return ParseStop::kTruncatedNetwork;
    case Chain::kLaterFragment:
      return ParseStop::kLaterFragment;
    case Chain::kTransport:
      break;
  }
  return parse_transport(packet);
}

// Where the quote begins is fixed; RFC 4884 may say where it ends.
uint32_t quote_size(const Packet& packet) {
  const std::byte* icmp = packet.data + packet.transport;
  const uint8_t type = load_u8(icmp);
  uint32_t stated = 0;
  if (packet.is(Protocol::kIcmp)) {
    if (type != 3 && type != 4 && type != 5 && type != 11 && type != 12) return 0;
    if (type == 3 || type == 11 || type == 12) stated = load_u8(icmp + 5) * 4u;
  } else {
    if (type < 1 || type > 4) return 0;
    if (type == 1 || type == 3) stated = load_u8(icmp + 4) * 8u;
  }
  const uint32_t here = packet.size - packet.payload;
  return stated > 0 ? std::min(stated, here) : here;
}

}  // namespace

Packet parse(std::span<std::byte> bytes) {
  Packet packet;
  packet.data = bytes.data();
  packet.size =
      static_cast<uint32_t>(std::min<size_t>(bytes.size(), std::numeric_limits<uint32_t>::max()));
  packet.length = packet.size;
  if (packet.size == 0) return packet;
  switch (load_u8(packet.data) >> 4) {
    case 4:
      packet.stop = parse_ipv4(packet);
      break;
    case 6:
      packet.stop = parse_ipv6(packet);
      break;
    default:
      break;
  }
  return packet;
}

bool parse_quoted(const Packet& packet, Packet* quote) {
  if (!packet.has_transport()) return false;
  if (!packet.is(Protocol::kIcmp) && !packet.is(Protocol::kIcmpv6)) return false;
  const uint32_t size = quote_size(packet);
  if (size == 0) return false;
  *quote = parse({packet.data + packet.payload, size});
  return true;
}

// The quote ends where it does, and not where its own lengths say.
bool resolve_quoted(const Packet& packet, Origin origin, uint32_t at, uint32_t* offset) {
  Packet quote;
  if (!parse_quoted(packet, &quote)) return false;
  uint32_t base = packet.payload;
  const uint32_t end = packet.payload + quote.size;
  if (origin == Origin::kQuotedTransport) {
    if (quote.transport == 0) return false;
    base += quote.transport;
  }
  if (base >= end || at >= end - base) return false;
  *offset = base + at;
  return true;
}

std::string_view to_string(ParseStop stop) {
  switch (stop) {
    case ParseStop::kComplete:
      return "complete";
    case ParseStop::kLaterFragment:
      return "a later fragment, without a transport header";
    case ParseStop::kUnknownTransport:
      return "a transport protocol that is not decoded";
    case ParseStop::kNotIp:
      return "not IP: no bytes, or a version other than 4 and 6";
    case ParseStop::kTruncatedNetwork:
      return "truncated inside the IP header or its extension headers";
    case ParseStop::kTruncatedTransport:
      return "truncated inside the transport header";
    case ParseStop::kBadNetworkLength:
      return "IP header length or total length is impossible";
    case ParseStop::kBadTransportLength:
      return "transport header's length contradicts the IP length";
  }
  return "unknown";
}

std::string_view to_string(Hook hook) {
  switch (hook) {
    case Hook::kPrerouting:
      return "prerouting";
    case Hook::kInput:
      return "input";
    case Hook::kForward:
      return "forward";
    case Hook::kOutput:
      return "output";
    case Hook::kPostrouting:
      return "postrouting";
    case Hook::kNone:
      return "none";
  }
  return "unknown";
}

}  // namespace fettle
