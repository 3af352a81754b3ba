// A plain judge of checksums, byte by byte and by no code of fettle's: the oracle of packet tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fettle::testing {

using ByteVector = std::vector<std::byte>;

ByteVector hex(std::string_view digits);  // spaces are skipped
ByteVector filled(size_t size, uint8_t first = 1, uint8_t step = 7);
std::string to_hex(std::span<const std::byte> bytes);

// Where things stand in a packet: all that the judge needs beside the bytes.
struct Layout {
  uint32_t ipv4_header = 0;  // its length; 0 in IPv6
  uint8_t protocol = 0;
  uint32_t transport = 0;        // 0: none here
  uint32_t end = 0;              // of the transport's data
  uint32_t covered = 0;          // end of what the transport checksum covers
  std::vector<uint32_t> source;  // places of the pseudo-header's address bytes, one by one
  std::vector<uint32_t> destination;
};

// The same words as a person would use; kNil is ICMP that is 0 in every byte, checksum included,
// which modular arithmetic cannot tell from a right one.
enum class State { kNone, kGood, kBad, kAbsent, kPartial, kNil };

State header_state(std::span<const std::byte> packet, const Layout& layout);
State transport_state(std::span<const std::byte> packet, const Layout& layout);
// Big-endian value of the field; the sum of the pseudo-header and the full checksum in the same
// form.
uint32_t field_value(std::span<const std::byte> packet, const Layout& layout);
uint32_t plain_pseudo_sum(std::span<const std::byte> packet, const Layout& layout);
uint32_t plain_full_checksum(std::span<const std::byte> packet, const Layout& layout);
uint32_t plain_crc32c(std::span<const std::byte> bytes);
uint16_t plain_sum(std::span<const std::byte> bytes);  // big-endian words, folded
int plain_field(uint8_t protocol);                     // -1: none

}  // namespace fettle::testing
