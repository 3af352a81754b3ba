#include "core/checksum.h"

#include <algorithm>

#include "core/bytes.h"

namespace fettle {
namespace {

using Bytes = std::span<const std::byte>;

// 16 bytes at a time in the registers that every 64-bit machine has; 32-bit halves in 64-bit
// lanes need no carry. Four sums, since one would wait for itself.
using Lanes = uint64_t __attribute__((vector_size(16)));
constexpr size_t kBlock = 4 * sizeof(Lanes);

struct BlockSum {
  Lanes low[2]{};
  Lanes high[2]{};

  void add(const std::byte* at) {
    for (int i = 0; i < 4; ++i) {
      const auto words = load<Lanes>(at + i * sizeof(Lanes));
      low[i & 1] += words & 0xffffffff;
      high[i & 1] += words >> 32;
    }
  }
  uint64_t total() const {
    const Lanes all = low[0] + low[1] + high[0] + high[1];
    return all[0] + all[1];
  }
};

uint64_t add_halves(uint64_t total, uint64_t word) {
  return total + (word & 0xffffffff) + (word >> 32);
}

// A 16-bit number as it would be loaded from the packet.
uint64_t as_loaded(uint32_t host_number) { return big_endian(static_cast<uint16_t>(host_number)); }

Bytes bytes_of(const Packet& packet, uint32_t from, uint32_t to) {
  return {packet.data + from, packet.data + to};
}

bool is_udp_kind(const Packet& packet) {
  return packet.is(Protocol::kUdp) || packet.is(Protocol::kUdpLite);
}

// RFC 768: a sum of 0 is sent as all ones, since 0 says that there is none.
uint16_t complete(const Packet& packet, uint64_t total) {
  const auto checksum = static_cast<uint16_t>(~fold(total));
  return checksum == 0 && is_udp_kind(packet) ? uint16_t{0xffff} : checksum;
}

bool can_check(const Packet& packet) {
  return !packet.fragment && packet.size >= covered_end(packet);
}

}  // namespace

uint64_t sum(Bytes bytes, uint64_t start) {
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  uint64_t total = start;
  if (left >= kBlock) {
    BlockSum blocks;
    do {
      blocks.add(at);
      at += kBlock;
      left -= kBlock;
    } while (left >= kBlock);
    total += fold(blocks.total());
  }
  for (; left >= 8; at += 8, left -= 8) total = add_halves(total, load<uint64_t>(at));
  if (left & 4) {
    total += load<uint32_t>(at);
    at += 4;
  }
  if (left & 2) {
    total += load<uint16_t>(at);
    at += 2;
  }
  if (left & 1) total += as_loaded(uint32_t{load_u8(at)} << 8);
  return total;
}

uint64_t pseudo_header_sum(const Packet& packet) {
  if (!has_pseudo_header(packet.protocol)) return 0;
  const uint32_t address = packet.family == Family::kIpv4 ? 4 : 16;
  const std::byte* source =
      packet.home_address ? packet.data + packet.home_address : packet.src_bytes();
  const std::byte* destination = packet.data + packet.final_destination;
  const uint32_t elided = packet.final_elided;
  const uint32_t length = packet.transport_end - packet.transport;
  const uint64_t start = as_loaded(packet.protocol) + as_loaded(length) + as_loaded(length >> 16);
  if (packet.family == Family::kIpv4 && packet.final_destination == 16) {
    return add_halves(start, load<uint64_t>(source));  // both addresses in one
  }

  uint64_t total = sum({source, address}, start);
  if (elided == 0) return sum({destination, address}, total);
  std::array<std::byte, 16> whole;
  std::copy_n(packet.dst_bytes(), elided, whole.begin());
  std::copy_n(destination + elided, 16 - elided, whole.begin() + elided);
  return sum(whole, total);
}

uint16_t full_transport_checksum(const Packet& packet) {
  const uint32_t field = packet.transport + static_cast<uint32_t>(checksum_field(packet.protocol));
  uint64_t total = pseudo_header_sum(packet);
  total = sum(bytes_of(packet, packet.transport, field), total);
  total = sum(bytes_of(packet, field + 2, covered_end(packet)), total);
  return complete(packet, total);
}

bool transport_sum_is_right(const Packet& packet) {
  const Bytes covered = bytes_of(packet, packet.transport, covered_end(packet));
  return fold(sum(covered, pseudo_header_sum(packet))) == 0xffff;
}

uint16_t ipv4_header_checksum(Bytes header) {
  return static_cast<uint16_t>(~fold(sum(header.subspan(12), sum(header.first(10)))));
}

ChecksumState transport_checksum_state(const Packet& packet) {
  const int place = checksum_field(packet.protocol);
  if (!packet.has_transport() || place < 0) return ChecksumState::kNone;
  const std::byte* field = packet.data + packet.transport + place;
  if (packet.is(Protocol::kSctp)) {
    if (packet.fragment) return ChecksumState::kUnchecked;
    const auto crc = load<uint32_t>(field);
    const bool known = can_check(packet);
    if (known && sctp_crc32c(bytes_of(packet, packet.transport, packet.transport_end)) == crc) {
      return ChecksumState::kGood;
    }
    if (crc == 0) return ChecksumState::kPartial;
    return known ? ChecksumState::kBad : ChecksumState::kUnchecked;
  }

  const auto value = load<uint16_t>(field);
  if (value == 0 && packet.is(Protocol::kUdp)) return ChecksumState::kAbsent;
  if (packet.fragment) return ChecksumState::kUnchecked;
  const bool known = can_check(packet);
  if (value == 0 && packet.is(Protocol::kUdpLite) && known)
    return ChecksumState::kBad;  // RFC 3828 3.1
  if (known && transport_sum_is_right(packet)) return ChecksumState::kGood;
  const bool offloaded = packet.is(Protocol::kTcp) || packet.is(Protocol::kUdp);
  if (offloaded && value == fold(pseudo_header_sum(packet))) return ChecksumState::kPartial;
  return known ? ChecksumState::kBad : ChecksumState::kUnchecked;
}

ChecksumState ipv4_checksum_state(const Packet& packet) {
  if (packet.family != Family::kIpv4) return ChecksumState::kNone;
  if (packet.header == 0) return ChecksumState::kUnchecked;
  const bool good = fold(sum(bytes_of(packet, 0, packet.header))) == 0xffff;
  return good ? ChecksumState::kGood : ChecksumState::kBad;
}

std::string_view to_string(ChecksumState state) {
  switch (state) {
    case ChecksumState::kNone:
      return "none";
    case ChecksumState::kGood:
      return "good";
    case ChecksumState::kBad:
      return "bad";
    case ChecksumState::kAbsent:
      return "absent";
    case ChecksumState::kPartial:
      return "partial";
    case ChecksumState::kUnchecked:
      return "not checked";
  }
  return "unknown";
}

}  // namespace fettle
