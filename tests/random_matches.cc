#include "tests/random_matches.h"

namespace fettle::testing {

std::string pattern_of(const ByteVector& bytes) {
  std::string out;
  for (const std::byte byte : bytes) out += fmt::format("\\x{:02x}", std::to_integer<int>(byte));
  return out;
}

ByteVector random_packet(Random& random) {
  Address src = random.address(), dst = random.address();
  while (dst.family != src.family) dst = random.address();
  PacketBuilder builder(src.to_string(), dst.to_string());
  builder.ttl(static_cast<uint8_t>(random.number(256)));
  builder.traffic_class(static_cast<uint8_t>(random.number(64) << 2));
  const auto from = static_cast<uint16_t>(random.number(65'536));
  const auto to = static_cast<uint16_t>(random.number(65'536));
  if (random.one_in(6)) {
    const bool later = random.one_in(2);
    if (src.family == Family::kIpv4) {
      builder.ipv4_fragment(later ? 2 : 0x2000);
    } else {
      builder.extension(testing::fragment_header(later ? 2 : 0, true));
    }
  }
  switch (random.below(6)) {
    case 0:
      builder.tcp(from, to, static_cast<uint8_t>(random.number(256)));
      break;
    case 1:
      builder.icmp(static_cast<uint8_t>(random.number(256)), static_cast<uint8_t>(random.below(3)));
      break;
    case 2:
      builder.sctp(from, to);
      break;
    case 3:
      builder.protocol(random.one_in(2) ? 47 : 253);
      break;
    default:
      builder.udp(from, to);
      break;
  }
  return builder.payload(filled(random.below(40))).build().bytes;
}

Metadata random_metadata(Random& random) {
  Metadata out;
  if (!random.one_in(4)) out.in = interface_name(random.interface());
  if (!random.one_in(4)) out.out = interface_name(random.interface());
  out.mark = random.number(~0u);
  out.draw = random.number(~0u);
  if (!random.one_in(4)) out.hook = Hook{static_cast<uint8_t>(random.below(5))};
  out.family = random.one_in(2) ? Family::kIpv4 : Family::kIpv6;
  return out;
}

}  // namespace fettle::testing
