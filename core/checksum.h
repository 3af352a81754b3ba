// The Internet checksum (RFC 1071), its incremental update (RFC 1624, eqn. 3) and SCTP's CRC32c
// (RFC 9260, appendix A). Sums are carried unfolded in 64 bits in the machine's byte order, which
// RFC 1071 section 2(B) allows: folded and stored without swapping, they are right.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/packet.h"

namespace fettle {

// One's complement sum of the bytes as 16-bit words from an even place, unfolded; an odd last
// byte counts as if a zero followed. Up to 4 GiB in all before a fold.
uint64_t sum(std::span<const std::byte> bytes, uint64_t start = 0);
// The same of what edits are mostly made of: 2, 4 or 16 bytes without a call.
inline uint64_t sum_inline(std::span<const std::byte> bytes) {
  const std::byte* at = bytes.data();
  const auto halves = [](uint64_t word) { return (word & 0xffffffff) + (word >> 32); };
  switch (bytes.size()) {
    case 2:
      return load<uint16_t>(at);
    case 4:
      return load<uint32_t>(at);
    case 16:
      return halves(load<uint64_t>(at)) + halves(load<uint64_t>(at + 8));
    default:
      return sum(bytes);
  }
}
// To 16 bits, not complemented, in the machine's order as loaded from memory. 0 only for 0.
inline uint16_t fold(uint64_t sum) {
  // Of x:y + y:x the upper half is x + y with the carry of the same sum below it.
  const auto half = static_cast<uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return static_cast<uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// Sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) of a parsed packet with a transport
// header: addresses (the final destination, the home address), protocol, transport length.
// UDP-Lite takes the IP payload length (RFC 3828 3.1). 0 for ICMP and SCTP, which have none.
uint64_t pseudo_header_sum(const Packet& packet);
inline bool has_pseudo_header(uint8_t protocol) {
  switch (Protocol{protocol}) {
    case Protocol::kTcp:
    case Protocol::kUdp:
    case Protocol::kUdpLite:
    case Protocol::kIcmpv6:
      return true;
    default:
      return false;
  }
}

// Offset of the checksum field from the transport header: TCP 16, UDP and UDP-Lite 6, ICMP and
// ICMPv6 2, SCTP 8; -1 where the protocol has none that fettle knows.
inline int checksum_field(uint8_t protocol) {
  switch (Protocol{protocol}) {
    case Protocol::kTcp:
      return 16;
    case Protocol::kUdp:
    case Protocol::kUdpLite:
      return 6;
    case Protocol::kIcmp:
    case Protocol::kIcmpv6:
      return 2;
    case Protocol::kSctp:
      return 8;
  }
  return -1;
}
// Where the bytes end that the transport checksum covers: transport_end, or earlier by UDP-Lite's
// coverage. Requires has_transport().
inline uint32_t covered_end(const Packet& packet) {
  if (!packet.is(Protocol::kUdpLite)) return packet.transport_end;
  const uint32_t coverage = load_be16(packet.data + packet.transport + 4);
  return coverage == 0 ? packet.transport_end : packet.transport + coverage;
}

// Takes old bytes out of a checksum field and puts new ones in: HC' = ~(~HC + ~m + m').
// difference() is ~m + m', 0 only where both are. `odd`: the bytes start at an odd place of what
// the checksum covers. Equal sizes. Does not apply UDP's rule that 0 is sent as 0xffff.
inline uint16_t difference(std::span<const std::byte> old_bytes,
                           std::span<const std::byte> new_bytes, bool odd) {
  const auto out = static_cast<uint16_t>(~fold(sum_inline(old_bytes)));
  const uint16_t both = fold(out + sum_inline(new_bytes));
  return odd ? std::byteswap(both) : both;
}
inline uint16_t update(uint16_t field, uint16_t change) {
  return static_cast<uint16_t>(~fold(uint64_t{static_cast<uint16_t>(~field)} + change));
}
inline uint16_t update(uint16_t field, std::span<const std::byte> old_bytes,
                       std::span<const std::byte> new_bytes, bool odd) {
  return update(field, difference(old_bytes, new_bytes, odd));
}

// Whole checksum of header or transport as it should stand in the field, computed as if the field
// were 0 (the field's bytes are skipped, not trusted). UDP and UDP-Lite: 0 comes as 0xffff.
// Needs size >= covered_end() and a protocol with a field, not SCTP.
uint16_t full_transport_checksum(const Packet& packet);
// All that is covered, the field and the pseudo-header sum up to all ones. Needs as above.
bool transport_sum_is_right(const Packet& packet);
uint16_t ipv4_header_checksum(std::span<const std::byte> header);

// CRC32c (RFC 3720 B.4) without its first and last inversion: start with 0xffffffff and invert the
// result. kTables is for machines that lack the instruction, and for tests.
enum class CrcWay : uint8_t { kFastest, kTables };
uint32_t extend_crc32c(uint32_t crc, std::span<const std::byte> bytes,
                       CrcWay way = CrcWay::kFastest);
// CRC32c of an SCTP packet (12 bytes or more) computed as if its checksum field were 0, as it
// stands in the field (load<uint32_t> / store<uint32_t>, no swap).
uint32_t sctp_crc32c(std::span<const std::byte> packet);
// A CRC is linear: what the change of some bytes, `after` bytes before the end of what is covered,
// makes of the field. Equal sizes. A right field stays right and a wrong one wrong.
uint32_t update_crc32c(uint32_t field, std::span<const std::byte> old_bytes,
                       std::span<const std::byte> new_bytes, uint32_t after);

// What a checksum field says about its packet.
enum class ChecksumState : uint8_t {
  kNone,  // the packet has no such field
  kGood,
  kBad,
  kAbsent,     // UDP: 0
  kPartial,    // left to hardware: TCP and UDP hold the pseudo-header's sum, SCTP 0
  kUnchecked,  // a fragment, or not all of what is covered is here
};
// A field that is good is not called partial. A TCP or UDP field that holds the pseudo-header's sum
// is partial in a truncated packet, too.
ChecksumState transport_checksum_state(const Packet& packet);
ChecksumState ipv4_checksum_state(const Packet& packet);
std::string_view to_string(ChecksumState state);  // "good", "absent", ...

}  // namespace fettle
