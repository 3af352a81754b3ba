#include "tests/packet_mend.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/checksum.h"

namespace fettle::testing {

void mend_lengths(std::span<std::byte> bytes) {
  const Packet packet = parse(bytes);
  if (packet.header == 0 || bytes.size() > 65535) return;
  const auto size = static_cast<uint16_t>(bytes.size());
  const bool wide = packet.family == Family::kIpv6;
  store_be16(bytes.data() + (wide ? 4 : 2), static_cast<uint16_t>(size - (wide ? 40 : 0)));
  const Packet again = parse(bytes);
  if (again.is(Protocol::kUdp) && again.transport != 0 && again.transport + 8 <= size) {
    store_be16(bytes.data() + again.transport + 4, static_cast<uint16_t>(size - again.transport));
  }
}

void mend_checksums(const Packet& packet, bool unfinished) {
  if (packet.malformed()) return;
  if (packet.family == Family::kIpv4) {
    store(packet.data + 10, ipv4_header_checksum({packet.data, packet.header}));
  }
  const int field = checksum_field(packet.protocol);
  if (!packet.has_transport() || packet.truncated() || field < 0) return;
  const uint32_t transport = packet.transport;
  std::byte* at = packet.data + transport + field;
  if (packet.is(Protocol::kSctp)) {
    store(at, sctp_crc32c({packet.data + transport, packet.transport_end - transport}));
  } else if (unfinished) {
    store(at, fold(pseudo_header_sum(packet)));
  } else {
    store(at, full_transport_checksum(packet));
  }
}

void make_admissible(std::span<std::byte> bytes) {
  if (bytes.size() < 20) return;
  std::byte* at = bytes.data();
  const auto size = static_cast<uint32_t>(bytes.size());
  if (load_u8(at) >> 4 == 6) {
    if (size < 40) return;
    store_be16(at + 4, static_cast<uint16_t>(std::min<uint32_t>(load_be16(at + 4), size - 40)));
    return;
  }
  const uint32_t words = std::clamp<uint32_t>(load_u8(at) & 15, 5, std::min(size / 4, 15u));
  store_u8(at, static_cast<uint8_t>(0x40 | words));
  const uint32_t most = std::min(size, 65535u);
  const uint32_t length = std::clamp<uint32_t>(load_be16(at + 2), words * 4, most);
  store_be16(at + 2, static_cast<uint16_t>(length));
  store(at + 10, ipv4_header_checksum(bytes.first(words * 4)));
}

}  // namespace fettle::testing
