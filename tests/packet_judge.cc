#include "tests/packet_judge.h"

#include <bit>
#include <cstdio>

namespace fettle::testing {
namespace {

uint8_t value(std::byte byte) { return std::to_integer<uint8_t>(byte); }

void append(ByteVector& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

ByteVector pseudo_header(std::span<const std::byte> packet, const Layout& layout) {
  ByteVector out;
  if (layout.protocol == 1 || layout.protocol == 132) return out;
  for (const uint32_t at : layout.source) out.push_back(packet[at]);
  for (const uint32_t at : layout.destination) out.push_back(packet[at]);
  for (const uint32_t number : {layout.end - layout.transport, uint32_t{layout.protocol}}) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(std::byte(number >> shift & 0xff));
  }
  return out;
}

}  // namespace

ByteVector hex(std::string_view digits) {
  ByteVector out;
  std::string clean;
  for (const char c : digits) {
    if (c != ' ') clean += c;
  }
  for (size_t i = 0; i + 1 < clean.size(); i += 2) {
    out.push_back(std::byte(std::stoi(clean.substr(i, 2), nullptr, 16)));
  }
  return out;
}

ByteVector filled(size_t size, uint8_t first, uint8_t step) {
  ByteVector out(size);
  uint8_t next = first;
  for (std::byte& byte : out) {
    byte = std::byte{next};
    next = static_cast<uint8_t>(next + step);
  }
  return out;
}

std::string to_hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", value(byte));
    out += digits;
  }
  return out;
}

uint16_t plain_sum(std::span<const std::byte> bytes) {
  uint32_t total = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    total += i % 2 == 0 ? uint32_t{value(bytes[i])} << 8 : value(bytes[i]);
    if (total > 0xffff) total -= 0xffff;
  }
  return static_cast<uint16_t>(total);
}

uint32_t plain_crc32c(std::span<const std::byte> bytes) {
  uint32_t crc = 0xffffffff;
  for (const std::byte byte : bytes) {
    crc ^= value(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}

int plain_field(uint8_t protocol) {
  switch (protocol) {
    case 6:
      return 16;
    case 17:
    case 136:
      return 6;
    case 1:
    case 58:
      return 2;
    case 132:
      return 8;
    default:
      return -1;
  }
}

uint32_t field_value(std::span<const std::byte> packet, const Layout& layout) {
  const size_t at = layout.transport + static_cast<size_t>(plain_field(layout.protocol));
  uint32_t out = 0;
  for (size_t i = 0; i < (layout.protocol == 132 ? 4u : 2u); ++i)
    out = out << 8 | value(packet[at + i]);
  return out;
}

uint32_t plain_pseudo_sum(std::span<const std::byte> packet, const Layout& layout) {
  return plain_sum(pseudo_header(packet, layout));
}

uint32_t plain_full_checksum(std::span<const std::byte> packet, const Layout& layout) {
  ByteVector all = layout.protocol == 132 ? ByteVector{} : pseudo_header(packet, layout);
  const size_t head = all.size();
  append(all, packet.subspan(layout.transport, layout.covered - layout.transport));
  const size_t field = head + static_cast<size_t>(plain_field(layout.protocol));
  for (size_t i = 0; i < (layout.protocol == 132 ? 4u : 2u); ++i) all.at(field + i) = std::byte{0};
  if (layout.protocol == 132) return std::byteswap(plain_crc32c(all));
  const uint32_t checksum = ~uint32_t{plain_sum(all)} & 0xffff;
  const bool udp = layout.protocol == 17 || layout.protocol == 136;
  return checksum == 0 && udp ? 0xffff : checksum;
}

State header_state(std::span<const std::byte> packet, const Layout& layout) {
  if (layout.ipv4_header == 0) return State::kNone;
  return plain_sum(packet.first(layout.ipv4_header)) == 0xffff ? State::kGood : State::kBad;
}

State transport_state(std::span<const std::byte> packet, const Layout& layout) {
  if (layout.transport == 0 || plain_field(layout.protocol) < 0) return State::kNone;
  const uint32_t field = field_value(packet, layout);
  const uint32_t right = plain_full_checksum(packet, layout);
  if (layout.protocol == 132) {
    if (field == right) return State::kGood;
    return field == 0 ? State::kPartial : State::kBad;
  }
  if (field == 0 && layout.protocol == 17) return State::kAbsent;
  if (field == 0 && layout.protocol == 136) return State::kBad;
  if (field == right || (field == 0xffff && right == 0)) return State::kGood;
  if (field == 0 && right == 0xffff) return State::kNil;
  const bool offloads = layout.protocol == 6 || layout.protocol == 17;
  return offloads && field == plain_pseudo_sum(packet, layout) ? State::kPartial : State::kBad;
}

}  // namespace fettle::testing
