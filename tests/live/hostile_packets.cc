#include "tests/live/hostile_packets.h"

#include <algorithm>
#include <cstring>

#include "core/address.h"
#include "core/packet.h"
#include "tests/packet_mend.h"

namespace fettle::testing {
namespace {

constexpr size_t kConnections = 256;
// Those texts that go over TCP.
constexpr std::array<size_t, 6> kStreamTexts{0, 1, 2, 3, 4, 6};

}  // namespace

HostilePackets::HostilePackets(uint64_t seed, std::vector<std::vector<std::byte>> valid)
    : PacketWriter(seed), valid_(std::move(valid)) {
  for (size_t i = 0; i < kConnections; ++i) {
    connections_.push_back(connection());
  }
  std::array<std::byte, kLargest> room;
  for (size_t i = 0; i < kTexts * 24; ++i) {
    begin(room);
    const bool udp = chance_.one_in(2);
    put_ip(chance_.one_in(3), chance_.below(kPairs4.size()), udp ? 17 : 6);
    udp ? put_udp() : put_tcp(0x18, 5);
    const Text& text = text_of(i % kTexts);
    store_be16(data() + (load_u8(data()) >> 4 == 6 ? 40 : 20) + (i % 2 ? 0 : 2), text.port);
    put(std::as_bytes(std::span(text.bytes)));
    seal(true);
    valid_.emplace_back(room.begin(), room.begin() + size_);
  }
}

HostilePackets::Connection HostilePackets::connection() {
  const size_t text = chance_.of(kStreamTexts);
  Connection out{.wide = chance_.one_in(3),
                 .pair = text_of(text).port == 53 ? 2 : chance_.below(2),
                 .text = text,
                 .client = static_cast<uint16_t>(chance_.between(1024, 65535)),
                 .server = text_of(text).port,
                 .segments = chance_.between(1, 200),
                 .first = chance_.word()};
  out.sequence = {out.first, chance_.word()};
  return out;
}

HostilePacket HostilePackets::next(std::span<std::byte> room) {
  begin(room.first(kLargest));
  gso_size_ = 0;
  const uint32_t drawn = chance_.below(kHostileKinds.size() + 3);
  const auto kind = drawn < kHostileKinds.size() ? HostileKind{static_cast<uint8_t>(drawn)}
                                                 : HostileKind::kSegment;
  make(kind);
  // Most must get past the stack's own doors; a few knock there.
  if (kind != HostileKind::kSuper && !chance_.one_in(64)) make_admissible(bytes());
  return {.bytes = bytes(), .kind = kind, .gso_size = gso_size_};
}

void HostilePackets::make(HostileKind kind) {
  switch (kind) {
    case HostileKind::kAsItIs:
      return take_valid();
    case HostileKind::kRandom:
      put_random(chance_.between(1, chance_.one_in(4) ? 1500 : 100));
      if (!chance_.one_in(16)) store_u8(data(), chance_.one_in(3) ? 0x60 : 0x45);
      return;
    case HostileKind::kMutated:
      return mutate();
    case HostileKind::kLengths:
      return lie();
    case HostileKind::kOptions:
      return make_options();
    case HostileKind::kExtensions:
      return make_extensions();
    case HostileKind::kFragments:
      return make_fragment();
    case HostileKind::kSegment:
      return make_segment();
    case HostileKind::kTunnel:
      return make_tunnel();
    case HostileKind::kJumbo:
      return make_jumbo();
    case HostileKind::kIcmpError:
      return make_icmp_error();
    case HostileKind::kSuper:
      return make_super();
  }
}

// ---- Kinds ------------------------------------------------------------------------------------

void HostilePackets::take_valid() {
  const auto& one = valid_[chance_.below(static_cast<uint32_t>(valid_.size()))];
  put(one);
}

void HostilePackets::mutate() {
  take_valid();
  for (uint32_t i = chance_.between(1, 8); i > 0 && size_ > 1; --i) {
    const uint32_t at = chance_.below(size_);
    std::byte* const byte = data() + at;
    const uint32_t some = std::min(chance_.between(1, 16), size_ - at);
    switch (chance_.below(6)) {
      case 0:
        store_u8(byte, load_u8(byte) ^ static_cast<uint8_t>(1u << chance_.below(8)));
        break;
      case 1:
        store_u8(byte, chance_.of(kEdges));
        break;
      case 2:  // some bytes taken out
        std::memmove(byte, byte + some, size_ - at - some);
        size_ -= some;
        break;
      case 3:  // some twice
        if (size_ + some > room_.size()) break;
        std::memmove(byte + some, byte, size_ - at);
        size_ += some;
        break;
      case 4:
        size_ = at + 1;
        break;
      default:
        for (uint32_t k = 0; k < some; ++k) store_u8(byte + k, chance_.byte());
    }
  }
  if (!chance_.one_in(4)) seal(chance_.one_in(2));
}

void HostilePackets::lie() {
  take_valid();
  const Packet packet = parse(bytes());
  std::byte* const ip = data();
  const auto any = static_cast<uint16_t>(
      chance_.one_in(2) ? chance_.below(size_ + 64) : chance_.of(kEdges) << chance_.below(9));
  switch (chance_.below(3)) {
    case 0:
      return store_be16(ip + (packet.family == Family::kIpv6 ? 4 : 2), any);
    case 1:
      if (packet.family == Family::kIpv4)
        return store_u8(ip, static_cast<uint8_t>(0x40 | chance_.below(16)));
      [[fallthrough]];
    default:
      if (!packet.has_transport()) return;
      if (packet.is(Protocol::kTcp))
        return store_u8(ip + packet.transport + 12, static_cast<uint8_t>(chance_.below(16) << 4));
      store_be16(ip + packet.transport + 4, any);
  }
}

void HostilePackets::make_options() {
  static constexpr std::array<uint8_t, 10> kIpTypes{0, 1, 7, 68, 130, 131, 137, 148, 82, 25};
  static constexpr std::array<uint8_t, 10> kTcpTypes{0, 1, 2, 3, 4, 5, 8, 19, 29, 30};
  const bool of_ip = chance_.one_in(2);
  put_ip(!of_ip && chance_.one_in(3), chance_.below(kPairs4.size()), 6);
  if (of_ip) {
    const uint32_t words = chance_.between(1, 10);
    store_u8(data(), static_cast<uint8_t>(0x45 + words));
    put_options(kIpTypes, words * 4);
  }
  const uint32_t words = chance_.below(11);
  put_tcp(chance_.one_in(2) ? 0x02 : chance_.byte(), 5 + words);
  put_options(kTcpTypes, words * 4);
  if (chance_.one_in(2)) put_text(chance_.below(kTexts));
  seal(!chance_.one_in(4));
}

void HostilePackets::make_extensions() {
  static constexpr std::array<uint8_t, 10> kTypes{0, 43, 44, 51, 60, 60, 135, 139, 140, 253};
  static constexpr std::array<uint8_t, 6> kLast{6, 17, 58, 132, 59, 136};
  put_ip(true, chance_.below(kPairs6.size()), 60);
  uint32_t next_at = 6;
  for (uint32_t i = chance_.one_in(4) ? chance_.between(50, 400) : chance_.below(8); i > 0; --i) {
    const uint8_t type = chance_.of(kTypes);
    store_u8(data() + next_at, type);
    next_at = size_;
    const uint32_t words = chance_.one_in(8) ? chance_.byte() : chance_.below(3);
    const uint32_t size = type == 44 ? 8 : (type == 51 ? words * 4 + 8 : words * 8 + 8);
    if (size_ + size + 60 > room_.size()) break;
    put_number(words & 0xff, 2);
    put_random(size - 2);
    if (type == 44) store_be16(data() + next_at + 2, static_cast<uint16_t>(chance_.below(9)));
  }
  const uint8_t last = chance_.of(kLast);
  store_u8(data() + next_at, last);
  last == 17 ? put_udp() : put_tcp(0x18, 5);
  put_text(chance_.below(kTexts));
  if (chance_.one_in(8)) size_ = chance_.between(40, size_);
  seal(true);
}

void HostilePackets::make_fragment() {
  const bool wide = chance_.one_in(2);
  put_ip(wide, chance_.below(2), wide ? 44 : 17);
  const uint32_t offset = chance_.one_in(3) ? 0 : chance_.below(chance_.one_in(8) ? 0x2000 : 40);
  const bool more = chance_.one_in(2);
  const uint32_t id = chance_.below(16);
  if (wide) {
    put_number(17u << 24 | offset << 3 | (more ? 1 : 0), 4);
    put_number(id, 4);
  } else {
    store_be16(data() + 4, static_cast<uint16_t>(id));
    store_be16(data() + 6, static_cast<uint16_t>(offset | (more ? 0x2000 : 0)));
  }
  if (offset == 0) put_udp();
  put_text(chance_.below(kTexts));
  if (!chance_.one_in(4)) size_ -= (size_ - (wide ? 48 : 20)) % 8;
  seal(true);
}

void HostilePackets::make_segment() {
  Connection& connection = connections_[chance_.below(kConnections)];
  if (connection.segments-- == 0) connection = this->connection();
  const bool direction = chance_.one_in(4);
  const uint32_t kind = chance_.below(48);
  const uint8_t flags = kind == 0 ? 0x02 : (kind == 1 ? 0x11 : (kind == 2 ? 0x04 : 0x10));
  // Mostly where the stream is; else before it, beyond a hole, or anywhere.
  uint32_t from = connection.sequence[direction];
  if (chance_.one_in(6)) from -= chance_.below(200);
  if (chance_.one_in(12)) from += chance_.below(200);
  if (chance_.one_in(64)) from = chance_.word();
  put_segment_header(connection, direction, flags, from);
  const uint32_t header = size_;
  if (!direction && (flags & 0x06) == 0) put_stream(connection, from);
  mend_lengths(bytes());
  const Packet packet = parse(bytes());
  if (packet.has_transport() && !chance_.one_in(32)) mend_checksums(packet);
  uint32_t& next = connection.sequence[direction];
  const uint32_t reached = from + (size_ - header) + (flags & 3);
  // What left a hole before it comes again.
  if (next - from < 4096 && reached - next < 4096) next = reached;
}

// The same bytes at the same place of the stream, most times: texts, again and again.
void HostilePackets::put_stream(Connection& connection, uint32_t from) {
  const std::string_view text = text_of(connection.text).bytes;
  uint32_t place = (from - connection.first) % static_cast<uint32_t>(text.size());
  if (chance_.one_in(64)) place = chance_.below(static_cast<uint32_t>(text.size()));
  for (uint32_t left = chance_.one_in(3) ? chance_.between(1, 1200) : chance_.between(1, 200);
       left > 0; place = 0) {
    const auto part = text.substr(place, left);
    put(std::as_bytes(std::span(part)));
    left -= static_cast<uint32_t>(part.size());
  }
  if (chance_.one_in(2)) store_u8(data() + (connection.wide ? 53 : 33), 0x18);  // PSH
}

void HostilePackets::put_segment_header(const Connection& connection, bool direction, uint8_t flags,
                                        uint32_t from) {
  static constexpr std::array<uint8_t, 5> kTypes{1, 5, 8, 5, 5};
  put_ip(connection.wide, connection.pair, 6);
  const auto& names = (connection.wide ? kPairs6 : kPairs4)[connection.pair];
  const uint32_t width = connection.wide ? 16 : 4;
  // Web servers are inside, others outside.
  const bool outside = direction != (connection.server == 80);
  for (uint32_t i = 0; i < 2; ++i) {
    const auto address = Address::parse(names[outside == (i == 0)]);
    std::byte* const at = data() + (connection.wide ? 8 : 12) + i * width;
    std::memcpy(at, address->bytes.data(), width);
  }
  const uint32_t options = chance_.one_in(4) ? chance_.between(1, 10) : 0;
  std::byte* const tcp = data() + size_;
  put_tcp(flags, 5 + options);
  store_be16(tcp, direction ? connection.server : connection.client);
  store_be16(tcp + 2, direction ? connection.client : connection.server);
  store_be32(tcp + 4, from);
  store_be32(tcp + 8, connection.sequence[!direction] - (chance_.one_in(4) ? 90 : 0));
  put_options(kTypes, options * 4);
}

void HostilePackets::make_tunnel() {
  for (uint32_t i = chance_.between(1, 12); i > 0; --i) {
    const bool wide = chance_.one_in(3), gre = chance_.one_in(3);
    put_ip(wide, chance_.below(kPairs4.size()), gre ? 47 : (chance_.one_in(2) ? 4 : 41));
    if (gre) put_number(0x0800 | chance_.below(16) << 28, 4);
    if (gre && chance_.one_in(2)) put_random(chance_.between(1, 12));
  }
  take_valid();
  seal(true);
}

void HostilePackets::make_jumbo() {
  const bool wide = chance_.one_in(2);
  put_ip(wide, chance_.below(kPairs4.size()), wide && chance_.one_in(2) ? 0 : 17);
  const bool hop_by_hop = wide && load_u8(data() + 6) == 0;
  if (hop_by_hop) {
    put_number(17u << 24 | 0xc204, 4);
    put_number(chance_.one_in(2) ? chance_.between(65536, 70000) : chance_.word(), 4);
  }
  put_udp();
  grow_to(chance_.between(1500, kLargest));
  if (!hop_by_hop) seal(true);
}

void HostilePackets::make_icmp_error() {
  static constexpr std::array<uint8_t, 5> kTypes{3, 11, 12, 4, 5};
  const bool wide = chance_.one_in(3);
  put_ip(wide, chance_.below(kPairs4.size()), wide ? 58 : 1);
  const uint32_t type = wide ? chance_.between(1, 4) : chance_.of(kTypes);
  put_number(type << 24 | chance_.below(16) << 16, 4);
  put_number(chance_.one_in(4) ? chance_.word() : 0, 4);
  const uint32_t quote = size_;
  take_valid();
  if (chance_.one_in(2) && size_ > quote + 1) size_ = chance_.between(quote + 1, size_);
  if (chance_.one_in(2)) {
    store_u8(data() + chance_.between(quote, size_ - 1), chance_.byte());
  }
  seal(true);
}

void HostilePackets::make_super() {
  const bool wide = chance_.one_in(3);
  put_ip(wide, chance_.below(kPairs4.size()), 6);
  const uint32_t words = chance_.one_in(2) ? 3 : 0;
  const uint32_t at = size_;
  put_tcp(0x18, 5 + words);
  if (words > 0) put_number(0x0101080a, 4), put_random(8);
  const auto& text = text_of(chance_.below(kTexts));
  store_be16(data() + at + 2, text.port);
  grow_to(chance_.between(1500, kLargest));
  gso_size_ = static_cast<uint16_t>(chance_.between(200, 1400));
  mend_lengths(bytes());
  mend_checksums(parse(bytes()), true);
}

}  // namespace fettle::testing
