// A packet put together from its fields, as a rule file's tests give it: with right lengths and
// checksums, and what is not named as Linux sends it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/address.h"
#include "core/packet.h"

namespace fettle {

struct PacketFields {
  uint8_t protocol = 0;
  Address src, dst;  // of one family
  uint8_t ttl = 64;
  uint8_t dscp = 0;                // 0..63
  uint8_t ecn = 0;                 // 0..3
  uint16_t src_port = 0;           // TCP, UDP, UDP-Lite, SCTP
  uint16_t dst_port = 0;           //
  uint8_t tcp_flags = 0x10;        // ACK
  uint16_t window = 65535;         // TCP
  std::optional<uint16_t> mss;     // TCP: the option, or none
  uint8_t icmp_type = 0;           // ICMP, ICMPv6; four zero bytes follow the checksum
  uint8_t icmp_code = 0;           //
  std::vector<std::byte> payload;  // behind the transport header, or behind IP's
};

// Bytes of the headers that go before the payload.
uint32_t header_size(const PacketFields& fields);

// The bytes from the IP header on. Requires that headers and payload are no longer than 65535
// bytes. IPv4 has no options, no identification and "don't fragment"; IPv6 no extension headers and
// no flow label; TCP the sequence number 1; SCTP the tag 1; UDP-Lite covers all.
std::vector<std::byte> build_packet(const PacketFields& fields);

}  // namespace fettle
