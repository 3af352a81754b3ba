#include "core/mangle.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/checksum.h"
#include "core/structure.h"

namespace fettle {
namespace {

using Sum = Packet::Sum;
using Bytes = std::span<const std::byte>;

uint32_t field_of(const Packet& packet) {
  return packet.transport + static_cast<uint32_t>(checksum_field(packet.protocol));
}

bool all_covered_is_zero(const Packet& packet) {
  const uint32_t end = std::min(packet.size, covered_end(packet));
  return std::all_of(packet.data + packet.transport, packet.data + end,
                     [](std::byte byte) { return byte == std::byte{0}; });
}

bool field_is_here(const Packet& packet) {
  if (packet.transport == 0 || packet.stop == ParseStop::kUnknownTransport) return false;
  const uint32_t width = packet.is(Protocol::kSctp) ? 4 : 2;
  return field_of(packet) + width <= packet.size;
}

// memcmp() == 0 and memmove(), without a call for the sizes of most edits.
bool same(const std::byte* one, const std::byte* other, size_t size) {
  switch (size) {
    case 1:
      return *one == *other;
    case 2:
      return load<uint16_t>(one) == load<uint16_t>(other);
    case 4:
      return load<uint32_t>(one) == load<uint32_t>(other);
    case 16:
      return load<uint64_t>(one) == load<uint64_t>(other) &&
             load<uint64_t>(one + 8) == load<uint64_t>(other + 8);
    default:
      return std::memcmp(one, other, size) == 0;
  }
}

void copy(std::byte* to, const std::byte* from, size_t size) {
  switch (size) {
    case 1:
      *to = *from;
      break;
    case 2:
      store(to, load<uint16_t>(from));
      break;
    case 4:
      store(to, load<uint32_t>(from));
      break;
    case 16:
      store(to, load<std::array<uint64_t, 2>>(from));
      break;
    default:
      std::memmove(to, from, size);
  }
}

// What edits do to the transport checksum; before the first one, while the field still tells.
Sum judge(const Packet& packet) {
  if (packet.plan == ChecksumPlan::kFinish || packet.plan == ChecksumPlan::kClear) {
    return Sum::kLeft;
  }
  if (!field_is_here(packet)) return Sum::kLeft;
  if (packet.plan == ChecksumPlan::kPseudo) return Sum::kPseudo;
  const std::byte* at = packet.data + field_of(packet);
  const bool capture = packet.plan == ChecksumPlan::kCapture;
  if (packet.is(Protocol::kSctp)) {
    if (packet.fragment) return Sum::kRefuse;
    const bool zero = capture && load<uint32_t>(at) == 0;
    const bool partial = zero && transport_checksum_state(packet) == ChecksumState::kPartial;
    return partial ? Sum::kLeft : Sum::kCrc;
  }

  const auto field = load<uint16_t>(at);
  if (packet.is(Protocol::kUdp) || packet.is(Protocol::kUdpLite)) {
    if (field == 0) return Sum::kLeft;
  }
  // Wrong, though RFC 1624 would take this 0 for the same as the right 0xffff.
  const bool nothing = packet.is(Protocol::kIcmp) && field == 0 && all_covered_is_zero(packet);
  if (nothing && packet.size >= covered_end(packet)) return Sum::kLeft;
  const bool offloads = packet.is(Protocol::kTcp) || packet.is(Protocol::kUdp);
  if (!capture || !offloads || packet.fragment) return Sum::kIncremental;
  if (field != fold(pseudo_header_sum(packet))) return Sum::kIncremental;
  const bool good = packet.size >= covered_end(packet) && transport_sum_is_right(packet);
  return good ? Sum::kIncremental : Sum::kPseudo;
}

// A transport checksum after a change, where it is whole and where it is partial.
uint16_t updated(const Packet& packet, uint16_t field, uint16_t change) {
  const uint16_t value = update(field, change);
  const bool udp = packet.is(Protocol::kUdp) || packet.is(Protocol::kUdpLite);
  return udp && value == 0 ? uint16_t{0xffff} : value;
}

uint16_t updated_partial(uint16_t field, uint16_t change) {
  return static_cast<uint16_t>(~update(static_cast<uint16_t>(~field), change));
}

// Edits that most rules make: what they overwrite is never structure, and enters each checksum
// whole or not at all.
struct Plain {
  bool is_plain = false;
  bool network = false;    // enters the IPv4 header's checksum
  bool pseudo = false;     // the pseudo-header's
  bool transport = false;  // the transport's, with an internet checksum, by its own bytes
};

Plain plain_in_network(const Packet& packet, uint32_t at, Bytes bytes) {
  const size_t size = bytes.size();
  if (packet.family == Family::kIpv4) {
    const bool address = size == 4 && (at == 12 || (at == 16 && packet.final_destination == 16));
    const bool ttl_or_dscp = size == 1 && (at == 8 || at == 1);
    return {.is_plain = address || ttl_or_dscp, .network = true, .pseudo = address};
  }
  if (packet.family != Family::kIpv6) return {};
  const bool source = at == 8 && packet.home_address == 0;
  const bool address = size == 16 && (source || (at == 24 && packet.final_destination == 24));
  const bool hop_limit = size == 1 && at == 7;
  const bool dscp = size == 2 && at == 0 && load_u8(bytes.data()) >> 4 == 6;
  return {.is_plain = address || hop_limit || dscp, .pseudo = address};
}

Plain plain_in_transport(const Packet& packet, uint32_t at, size_t size) {
  const bool tcp = packet.is(Protocol::kTcp);
  const bool udp = packet.is(Protocol::kUdp);
  if (!packet.has_transport() || !(tcp || udp || packet.is(Protocol::kIcmpv6))) return {};
  const uint32_t from = at - packet.transport;
  const uint32_t to = from + static_cast<uint32_t>(size);
  const bool before = to <= (tcp ? 12 : udp ? 4 : 2);
  const bool flags_or_window = tcp && from >= 13 && to <= 16;
  const bool behind = from >= (tcp ? 18 : udp ? 8 : 4);
  const bool covered = to <= packet.transport_end - packet.transport;
  return {.is_plain = (before || flags_or_window || behind) && covered, .transport = true};
}

// What a Replacement of the packet itself does, without looking for what may be special.
Edit replace_plainly(Packet& packet, uint32_t at, Bytes bytes, Plain plain) {
  std::byte* const place = packet.data + at;
  if (same(place, bytes.data(), bytes.size())) return Edit::kDone;
  if (packet.sum == Sum::kUnknown) packet.sum = judge(packet);
  // All headers are of even length, so that one counts for both checksums.
  const bool odd = (at & 1) != 0;
  const uint16_t change = difference({place, bytes.size()}, bytes, odd);
  copy(place, bytes.data(), bytes.size());
  packet.changed = true;

  if (plain.network) {
    std::byte* const field = packet.data + 10;
    store(field, update(load<uint16_t>(field), change));
  }
  const bool in_pseudo = plain.pseudo && has_pseudo_header(packet.protocol);
  if (!in_pseudo && !plain.transport) return Edit::kDone;
  std::byte* const field = packet.data + field_of(packet);
  if (packet.sum == Sum::kIncremental) {
    store(field, updated(packet, load<uint16_t>(field), change));
  } else if (packet.sum == Sum::kPseudo && in_pseudo) {
    store(field, updated_partial(load<uint16_t>(field), change));
  }
  return Edit::kDone;
}

// One edit of a packet on its way into the bytes, with all that follows from it. The packet may be
// the quote in `outer`, whose checksum then follows each byte that becomes another.
class Replacement {
 public:
  Replacement(Packet& packet, Packet* outer, uint32_t at, Bytes bytes)
      : packet_(packet), outer_(outer), at_(at), end_(at + size_of(bytes)), bytes_(bytes) {}

  Edit apply();

 private:
  static uint32_t size_of(Bytes bytes) { return static_cast<uint32_t>(bytes.size()); }
  bool touches(uint32_t from, uint32_t to) const { return at_ < to && from < end_; }
  void follow(uint16_t& field, uint32_t from, uint32_t to, uint32_t origin) const;
  void follow_pseudo_header(uint16_t& field) const;
  bool transport_changes() const;
  bool pseudo_header_changes() const;
  uint16_t new_field() const;
  uint32_t new_crc() const;
  void put(uint32_t at, Bytes bytes);
  template <typename T>
  void put_number(uint32_t at, T value) {
    put(at, std::as_bytes(std::span(&value, 1)));
  }

  Packet& packet_;
  Packet* outer_;
  uint32_t at_;
  uint32_t end_;
  Bytes bytes_;
};

// What of the edit falls into [from, to) enters `field`; words are counted from `origin`.
void Replacement::follow(uint16_t& field, uint32_t from, uint32_t to, uint32_t origin) const {
  from = std::max(from, at_);
  to = std::min(to, end_);
  if (from >= to) return;
  field = update(field, {packet_.data + from, to - from}, bytes_.subspan(from - at_, to - from),
                 ((from - origin) & 1) != 0);
}

void Replacement::follow_pseudo_header(uint16_t& field) const {
  if (!has_pseudo_header(packet_.protocol)) return;
  const bool ipv4 = packet_.family == Family::kIpv4;
  const uint32_t address = ipv4 ? 4 : 16;
  const uint32_t source = packet_.home_address ? packet_.home_address : (ipv4 ? 12 : 8);
  const uint32_t destination = packet_.final_destination;
  const uint32_t elided = packet_.final_elided;
  follow(field, source, source + address, source);
  follow(field, destination + elided, destination + address, destination);
  if (elided > 0) follow(field, 24, 24 + elided, 24);
}

bool Replacement::transport_changes() const {
  return touches(packet_.transport, covered_end(packet_));
}

uint16_t Replacement::new_field() const {
  auto field = load<uint16_t>(packet_.data + field_of(packet_));
  if (packet_.sum == Sum::kPseudo) {
    field = static_cast<uint16_t>(~field);
    follow_pseudo_header(field);
    return static_cast<uint16_t>(~field);
  }
  follow_pseudo_header(field);
  follow(field, packet_.transport, covered_end(packet_), packet_.transport);
  const bool udp = packet_.is(Protocol::kUdp) || packet_.is(Protocol::kUdpLite);
  return udp && field == 0 ? uint16_t{0xffff} : field;
}

uint32_t Replacement::new_crc() const {
  const uint32_t from = std::max(at_, packet_.transport);
  const uint32_t to = std::min(end_, packet_.transport_end);
  return update_crc32c(load<uint32_t>(packet_.data + field_of(packet_)),
                       {packet_.data + from, to - from}, bytes_.subspan(from - at_, to - from),
                       packet_.transport_end - to);
}

void Replacement::put(uint32_t at, Bytes bytes) {
  if (outer_ != nullptr) {
    const auto quote = static_cast<uint32_t>(packet_.data - outer_->data);
    Replacement(*outer_, nullptr, quote + at, bytes).apply();
    return;
  }
  std::memmove(packet_.data + at, bytes.data(), bytes.size());
  packet_.changed = true;
}

Edit Replacement::apply() {
  if (std::memcmp(packet_.data + at_, bytes_.data(), bytes_.size()) == 0) return Edit::kDone;
  if (packet_.sum == Sum::kUnknown) packet_.sum = judge(packet_);
  if (packet_.sum == Sum::kRefuse && transport_changes()) return Edit::kMiss;

  const bool crc = packet_.sum == Sum::kCrc && transport_changes();
  const bool field = packet_.sum == Sum::kIncremental || packet_.sum == Sum::kPseudo;
  const uint32_t crc_value = crc ? new_crc() : 0;
  uint16_t value = field ? new_field() : 0;
  const bool ip = packet_.family == Family::kIpv4 && at_ < packet_.header;
  auto ip_value = ip ? load<uint16_t>(packet_.data + 10) : uint16_t{0};
  if (ip) follow(ip_value, 0, packet_.header, 0);

  put(at_, bytes_);
  if (ip) put_number(10, ip_value);
  if (crc) put_number(field_of(packet_), crc_value);
  if (field) {
    // RFC 1624 cannot tell a sum of words that are all 0 from one that comes out as 0.
    if (value == 0 && packet_.is(Protocol::kIcmp) && transport_changes() &&
        packet_.size >= covered_end(packet_)) {
      put_number(field_of(packet_), value);
      if (all_covered_is_zero(packet_)) value = 0xffff;
    }
    put_number(field_of(packet_), value);
  }
  return Edit::kDone;
}

// Behind the headers of a later fragment are bytes of a transport whose checksum is elsewhere.
uint32_t writable_end(const Packet& packet) {
  return packet.later_fragment ? packet.header : packet.size;
}

Edit edit(Packet& packet, Packet* outer, uint32_t offset, Bytes bytes) {
  const uint32_t end = writable_end(packet);
  if (offset > end || bytes.size() > end - offset) return Edit::kMiss;
  if (bytes.empty()) return Edit::kDone;
  if (outer == nullptr) {
    const Plain plain = offset < packet.header ? plain_in_network(packet, offset, bytes)
                                               : plain_in_transport(packet, offset, bytes.size());
    if (plain.is_plain) return replace_plainly(packet, offset, bytes, plain);
  }
  if (!keeps_structure(packet, offset, bytes)) return Edit::kMiss;
  return Replacement(packet, outer, offset, bytes).apply();
}

}  // namespace

bool can_edit(const Packet& packet) {
  if (packet.malformed() || packet.plan == ChecksumPlan::kImmutable) return false;
  if (packet.plan != ChecksumPlan::kFinish) return true;
  return field_is_here(packet) && !packet.fragment && packet.size >= covered_end(packet);
}

Edit write(Packet& packet, uint32_t offset, Bytes bytes) {
  return can_edit(packet) ? edit(packet, nullptr, offset, bytes) : Edit::kMiss;
}

Edit write_quoted(Packet& packet, uint32_t offset, Bytes bytes) {
  Packet quote;
  if (!can_edit(packet) || !parse_quoted(packet, &quote) || quote.header == 0) return Edit::kMiss;
  return edit(quote, &packet, offset, bytes);
}

void judge_checksum(Packet& packet) {
  if (packet.sum == Sum::kUnknown) packet.sum = judge(packet);
}

void finish(Packet& packet) {
  if (!packet.changed) return;
  if (packet.plan != ChecksumPlan::kFinish && packet.plan != ChecksumPlan::kClear) return;
  if (!field_is_here(packet)) return;
  std::byte* field = packet.data + field_of(packet);
  if (packet.plan == ChecksumPlan::kClear) {
    store<uint16_t>(field, 0);
  } else if (packet.is(Protocol::kSctp)) {
    store(field,
          sctp_crc32c({packet.data + packet.transport, packet.transport_end - packet.transport}));
  } else {
    store(field, full_transport_checksum(packet));
  }
  packet.plan = ChecksumPlan::kComplete;
  packet.sum = Sum::kUnknown;
}

}  // namespace fettle
