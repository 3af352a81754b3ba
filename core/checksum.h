// The Internet checksum (RFC 1071), its incremental update (RFC 1624, eqn. 3) and SCTP's CRC32c
// (RFC 9260, appendix A). Sums are carried unfolded in 64 bits in the machine's byte order, which
// RFC 1071 section 2(B) allows: folded and stored without swapping, they are right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/packet.h"

namespace fettle {

// One's complement sum of the bytes as 16-bit words from an even place, unfolded; an odd last
// byte counts as if a zero followed. Up to 4 GiB in all before a fold.
uint64_t sum(std::span<const std::byte> bytes, uint64_t start = 0);
// To 16 bits, not complemented, in the machine's order as loaded from memory. 0 only for 0.
inline uint16_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

// Sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) of a parsed packet with a transport
// header: addresses (the final destination, the home address), protocol, transport length.
// UDP-Lite takes the IP payload length (RFC 3828 3.1). 0 for ICMP and SCTP, which have none.
uint64_t pseudo_header_sum(const Packet& packet);
bool has_pseudo_header(uint8_t protocol);  // TCP, UDP, UDP-Lite, ICMPv6

// Offset of the checksum field from the transport header: TCP 16, UDP and UDP-Lite 6, ICMP and
// ICMPv6 2, SCTP 8; -1 where the protocol has none that fettle knows.
int checksum_field(uint8_t protocol);
// Where the bytes end that the transport checksum covers: transport_end, or earlier by UDP-Lite's
// coverage. Requires has_transport().
uint32_t covered_end(const Packet& packet);

// Takes old bytes out of a checksum field and puts new ones in: HC' = ~(~HC + ~m + m').
// `odd`: the bytes start at an odd place of what the checksum covers. Equal sizes.
// Does not apply UDP's rule that 0 is sent as 0xffff.
uint16_t update(uint16_t field, std::span<const std::byte> old_bytes,
                std::span<const std::byte> new_bytes, bool odd);

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
