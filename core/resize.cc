#include "core/resize.h"

#include <algorithm>
#include <cstring>

#include "core/checksum.h"
#include "core/mangle.h"

namespace fettle {
namespace {

constexpr int64_t kLongestField = 0xffff;

bool is_udp(const Packet& packet) { return packet.has_transport() && packet.is(Protocol::kUdp); }
bool is_udp_lite(const Packet& packet) {
  return packet.has_transport() && packet.is(Protocol::kUdpLite);
}

bool has_zero_length(const Packet& packet) {
  if (load_be16(packet.data + (packet.family == Family::kIpv4 ? 2 : 4)) == 0) return true;
  return is_udp(packet) && load_be16(packet.data + packet.transport + 4) == 0;
}

// Of a packet that has a transport's payload.
Resize refusal(const Packet& packet) {
  if (packet.fragment) return Resize::kFragment;
  if (packet.plan == ChecksumPlan::kPseudo || packet.plan == ChecksumPlan::kClear ||
      has_zero_length(packet)) {
    return Resize::kSegments;
  }
  if (packet.truncated()) return Resize::kTruncated;
  if (packet.stop == ParseStop::kUnknownTransport) return Resize::kDone;
  if (packet.is(Protocol::kTcp)) return Resize::kStream;
  Packet quote;
  if (packet.is(Protocol::kSctp) || parse_quoted(packet, &quote)) return Resize::kStructured;
  return Resize::kDone;
}

bool fits(const Packet& packet, int64_t change) {
  const int64_t length = packet.length + change;
  const int64_t counted = packet.family == Family::kIpv4 ? length : length - 40;
  return packet.capacity > 0 && length <= packet.capacity && counted <= kLongestField;
}

uint32_t moved(uint32_t place, int64_t change) { return static_cast<uint32_t>(place + change); }

// UDP-Lite's coverage after the change, as its field.
uint16_t new_coverage(const Packet& packet, uint32_t offset, uint32_t removed, int64_t change) {
  const uint16_t field = load_be16(packet.data + packet.transport + 4);
  const uint32_t end = packet.transport + field;
  const bool all = end == packet.transport_end;
  if (field == 0 || (end <= offset && !all)) return field;
  const uint32_t follows = std::max(end, offset + removed);
  return static_cast<uint16_t>(moved(follows, change) - packet.transport);
}

// What the transport's checksum covers, the pseudo-header's part by itself.
struct Covered {
  explicit Covered(const Packet& packet) {
    if (packet.sum != Packet::Sum::kIncremental && packet.sum != Packet::Sum::kPseudo) return;
    pseudo = pseudo_header_sum(packet);
    all = pseudo;
    if (packet.sum == Packet::Sum::kPseudo) return;
    all = sum({packet.data + packet.transport, covered_end(packet) - packet.transport}, pseudo);
  }
  uint64_t pseudo = 0;
  uint64_t all = 0;
};

uint16_t difference(uint64_t before, uint64_t after) {
  return fold(uint64_t{static_cast<uint16_t>(~fold(before))} + fold(after));
}

bool all_zero(const Packet& packet) {
  return std::all_of(packet.data + packet.transport, packet.data + covered_end(packet),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

void mend_checksum(Packet& packet, const Covered& before) {
  using Sum = Packet::Sum;
  if (packet.sum != Sum::kIncremental && packet.sum != Sum::kPseudo) return;
  std::byte* const at = packet.data + packet.transport + checksum_field(packet.protocol);
  const Covered after(packet);
  const auto field = load<uint16_t>(at);
  if (packet.sum == Sum::kPseudo) {
    const uint16_t change = difference(before.pseudo, after.pseudo);
    store(at, static_cast<uint16_t>(~update(static_cast<uint16_t>(~field), change)));
    return;
  }
  uint16_t value = update(field, difference(before.all, after.all));
  store(at, value);
  // RFC 1624 cannot tell a sum of words that are all 0 from one that comes out as 0.
  const bool never_zero = is_udp(packet) || is_udp_lite(packet) || all_zero(packet);
  if (value == 0 && never_zero) store(at, static_cast<uint16_t>(0xffff));
}

void mend_network_length(Packet& packet) {
  if (packet.family == Family::kIpv6) {
    store_be16(packet.data + 4, static_cast<uint16_t>(packet.length - 40));
    return;
  }
  std::byte* const field = packet.data + 2;
  const auto before = load<uint16_t>(field);
  store_be16(field, static_cast<uint16_t>(packet.length));
  std::byte* const checksum = packet.data + 10;
  const uint16_t change = difference(before, load<uint16_t>(field));
  store(checksum, update(load<uint16_t>(checksum), change));
}

}  // namespace

Resize may_resize(const Packet& packet) noexcept {
  if (packet.malformed() || packet.plan == ChecksumPlan::kImmutable) return Resize::kImmutable;
  if (packet.later_fragment || packet.transport == 0) return Resize::kFragment;
  return refusal(packet);
}

Resize replace(Packet& packet, uint32_t offset, uint32_t removed,
               std::span<const std::byte> bytes) noexcept {
  if (packet.malformed() || packet.plan == ChecksumPlan::kImmutable) return Resize::kImmutable;
  if (packet.later_fragment || packet.transport == 0) return Resize::kFragment;
  const uint32_t end = std::min(packet.size, packet.transport_end);
  if (offset < packet.payload || offset > end || removed > end - offset) return Resize::kOutside;
  if (removed == bytes.size()) {
    return write(packet, offset, bytes) == Edit::kDone ? Resize::kDone : Resize::kStructured;
  }
  if (const Resize why = refusal(packet); why != Resize::kDone) return why;
  const int64_t change = static_cast<int64_t>(bytes.size()) - removed;
  if (!fits(packet, change)) return Resize::kNoRoom;

  judge_checksum(packet);
  const Covered before(packet);
  const uint16_t coverage =
      is_udp_lite(packet) ? new_coverage(packet, offset, removed, change) : uint16_t{0};
  const uint32_t behind = offset + removed;
  std::memmove(packet.data + moved(behind, change), packet.data + behind, packet.size - behind);
  std::copy(bytes.begin(), bytes.end(), packet.data + offset);
  packet.length = packet.size = moved(packet.length, change);
  packet.transport_end = moved(packet.transport_end, change);
  mend_network_length(packet);
  std::byte* const transport_length = packet.data + packet.transport + 4;
  if (is_udp_lite(packet)) store_be16(transport_length, coverage);
  if (is_udp(packet)) {
    store_be16(transport_length, static_cast<uint16_t>(packet.transport_end - packet.transport));
  }
  mend_checksum(packet, before);
  packet.changed = packet.resized = true;
  return Resize::kDone;
}

std::string_view to_string(Resize result) {
  switch (result) {
    case Resize::kDone:
      return "done";
    case Resize::kImmutable:
      return "the packet cannot be changed";
    case Resize::kOutside:
      return "the place is not in the payload";
    case Resize::kTruncated:
      return "not all of the packet is here";
    case Resize::kFragment:
      return "a fragment's length cannot change";
    case Resize::kSegments:
      return "the packet is still to be cut into segments";
    case Resize::kStream:
      return "the length of a TCP segment cannot change";
    case Resize::kStructured:
      return "the protocol gives no way to change this length";
    case Resize::kNoRoom:
      return "no room for a packet of that length";
  }
  return "unknown";
}

}  // namespace fettle
