// decoded_dump of describe.h.
#include <algorithm>
#include <initializer_list>
#include <iterator>

#include <fmt/format.h>

#include "core/checksum.h"
#include "core/describe.h"
#include "core/ip_numbers.h"
#include "core/protocol_names.h"

namespace fettle {
namespace {

// Headings, and under each its fields: names in one column, values in the next.
class Sheet {
 public:
  explicit Sheet(std::string* out) : out_(*out) {}

  void heading(std::string_view name) { fmt::format_to(std::back_inserter(out_), "{}\n", name); }
  template <typename... Args>
  void field(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), "  {:<17}", name);
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    out_ += '\n';
  }

 private:
  std::string& out_;
};

std::string address_at(const Packet& packet, uint32_t offset) {
  return Address::from_bytes(packet.family, packet.data + offset).to_string();
}

// Names of the bits that are set, lowest bit first.
std::string bit_names(uint32_t bits, std::initializer_list<std::string_view> names) {
  std::string out;
  for (const std::string_view name : names) {
    if (bits & 1) out.append(out.empty() ? "" : " ").append(name);
    bits >>= 1;
  }
  return out.empty() ? "none" : out;
}

std::string checksum_words(ChecksumState state, uint64_t field, uint64_t right, int digits) {
  if (state != ChecksumState::kBad)
    return fmt::format("0x{:0{}x} {}", field, digits, to_string(state));
  return fmt::format("0x{:0{}x} bad, 0x{:0{}x} is right", field, digits, right, digits);
}

void ipv4_fields(Sheet& sheet, const Packet& packet) {
  const std::byte* ip = packet.data;
  sheet.field("header length", "{}", (load_u8(ip) & 0xf) * 4);
  sheet.field("DSCP, ECN", "{}, {}", load_u8(ip + 1) >> 2, load_u8(ip + 1) & 3);
  sheet.field("total length", "{}", load_be16(ip + 2));
  sheet.field("identification", "0x{:04x}", load_be16(ip + 4));
  const uint16_t fragment = load_be16(ip + 6);
  sheet.field("flags", "{}", bit_names(fragment >> 13, {"MF", "DF", "reserved"}));
  sheet.field("fragment offset", "{}", (fragment & 0x1fff) * 8);
  sheet.field("TTL", "{}", load_u8(ip + 8));
  sheet.field("protocol", "{} ({})", load_u8(ip + 9), protocol_name(load_u8(ip + 9)));
  const ChecksumState state = ipv4_checksum_state(packet);
  const bool bad = state == ChecksumState::kBad;
  const uint16_t right = bad ? ipv4_header_checksum({ip, packet.header}) : uint16_t{0};
  sheet.field("checksum", "{}", checksum_words(state, load_be16(ip + 10), big_endian(right), 4));
  sheet.field("source", "{}", address_at(packet, 12));
  sheet.field("destination", "{}", address_at(packet, 16));
  if (packet.header > kIpv4Header) sheet.field("options", "{} bytes", packet.header - kIpv4Header);
}

void extension_fields(Sheet& sheet, uint8_t type, const std::byte* header) {
  sheet.heading(fmt::format("IPv6 {}", protocol_name(type)));
  sheet.field("next header", "{} ({})", load_u8(header), protocol_name(load_u8(header)));
  sheet.field("length", "{}", extension_size(type, header));
  if (type == kRouting) {
    sheet.field("type", "{}", load_u8(header + 2));
    sheet.field("segments left", "{}", load_u8(header + 3));
  }
  if (type == kFragment) {
    const uint16_t field = load_be16(header + 2);
    sheet.field("fragment offset", "{}", field & 0xfff8);
    sheet.field("more fragments", "{}", field & 1 ? "yes" : "no");
    sheet.field("identification", "0x{:08x}", load_be32(header + 4));
  }
}

void ipv6_fields(Sheet& sheet, const Packet& packet) {
  const std::byte* ip = packet.data;
  sheet.field("DSCP, ECN", "{}, {}", packet.traffic_class() >> 2, packet.traffic_class() & 3);
  sheet.field("flow label", "0x{:05x}", load_be32(ip) & 0xfffff);
  sheet.field("payload length", "{}", load_be16(ip + 4));
  sheet.field("next header", "{} ({})", load_u8(ip + 6), protocol_name(load_u8(ip + 6)));
  sheet.field("hop limit", "{}", load_u8(ip + 7));
  sheet.field("source", "{}", address_at(packet, 8));
  sheet.field("destination", "{}", address_at(packet, 24));
  uint8_t type = load_u8(ip + 6);
  for (uint32_t at = kIpv6Header; at < packet.header;) {
    extension_fields(sheet, type, ip + at);
    const uint32_t size = extension_size(type, ip + at);
    type = load_u8(ip + at);
    at += size;
  }
}

void pseudo_header_fields(Sheet& sheet, const Packet& packet) {
  if (packet.header == 0) return;
  if (packet.home_address)
    sheet.field("home address", "{}", address_at(packet, packet.home_address));
  const uint32_t own = packet.family == Family::kIpv4 ? 16 : 24;
  if (packet.final_destination == own) return;
  Address last = Address::from_bytes(packet.family, packet.data + packet.final_destination);
  std::copy_n(packet.data + own, packet.final_elided, last.bytes.begin());
  sheet.field("final destination", "{}", last.to_string());
}

void transport_checksum_field(Sheet& sheet, const Packet& packet) {
  const ChecksumState state = transport_checksum_state(packet);
  const std::byte* field = packet.data + packet.transport + checksum_field(packet.protocol);
  const bool bad = state == ChecksumState::kBad;
  if (packet.is(Protocol::kSctp)) {
    const uint32_t right =
        bad ? sctp_crc32c({packet.data + packet.transport, packet.transport_end - packet.transport})
            : 0;
    sheet.field("checksum", "{}", checksum_words(state, load_be32(field), big_endian(right), 8));
    return;
  }
  const uint16_t right = bad ? full_transport_checksum(packet) : uint16_t{0};
  sheet.field("checksum", "{}", checksum_words(state, load_be16(field), big_endian(right), 4));
}

void tcp_fields(Sheet& sheet, const std::byte* tcp) {
  sheet.field("sequence", "{}", load_be32(tcp + 4));
  sheet.field("acknowledgement", "{}", load_be32(tcp + 8));
  sheet.field("header length", "{}", (load_u8(tcp + 12) >> 4) * 4);
  sheet.field(
      "flags", "{}",
      bit_names(load_u8(tcp + 13), {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}));
  sheet.field("window", "{}", load_be16(tcp + 14));
  sheet.field("urgent pointer", "{}", load_be16(tcp + 18));
}

void transport_fields(Sheet& sheet, const Packet& packet) {
  const std::byte* at = packet.data + packet.transport;
  if (packet.has_ports()) {
    sheet.field("source port", "{}", packet.src_port());
    sheet.field("destination port", "{}", packet.dst_port());
  }
  switch (Protocol{packet.protocol}) {
    case Protocol::kTcp:
      tcp_fields(sheet, at);
      break;
    case Protocol::kUdp:
      sheet.field("length", "{}", load_be16(at + 4));
      break;
    case Protocol::kUdpLite:
      sheet.field("coverage", "{}", load_be16(at + 4));
      break;
    case Protocol::kSctp:
      sheet.field("tag", "0x{:08x}", load_be32(at + 4));
      break;
    case Protocol::kIcmp:
    case Protocol::kIcmpv6:
      sheet.field("type", "{} ({})", load_u8(at), icmp_type_name(packet.family, load_u8(at)));
      sheet.field("code", "{}", load_u8(at + 1));
      break;
  }
  transport_checksum_field(sheet, packet);
}

void headers(Sheet& sheet, const Packet& packet, std::string_view prefix) {
  const bool ipv4 = packet.family == Family::kIpv4;
  if (packet.family != Family::kNone && packet.size >= (ipv4 ? kIpv4Header : kIpv6Header)) {
    sheet.heading(fmt::format("{}{}", prefix, ipv4 ? "IPv4" : "IPv6"));
    ipv4 ? ipv4_fields(sheet, packet) : ipv6_fields(sheet, packet);
    pseudo_header_fields(sheet, packet);
  }
  if (packet.has_transport()) {
    sheet.heading(fmt::format("{}{}", prefix, protocol_name(packet.protocol)));
    transport_fields(sheet, packet);
    sheet.field("payload", "{} bytes", packet.transport_end - packet.payload);
  } else if (packet.malformed()) {
    sheet.heading(fmt::format("{}malformed: {}", prefix, to_string(packet.stop)));
  }
}

void hex_lines(std::string* out, const Packet& packet) {
  constexpr uint32_t kPerLine = 16;
  auto end = std::back_inserter(*out);
  for (uint32_t line = 0; line < packet.size; line += kPerLine) {
    fmt::format_to(end, "{:04x} ", line);
    std::string text;
    for (uint32_t i = 0; i < kPerLine; ++i) {
      if (i == kPerLine / 2) *out += ' ';
      if (line + i >= packet.size) {
        *out += "   ";
        continue;
      }
      const uint8_t byte = load_u8(packet.data + line + i);
      fmt::format_to(end, " {:02x}", byte);
      text += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
    }
    fmt::format_to(end, "  {}\n", text);
  }
}

}  // namespace

std::string decoded_dump(const Packet& packet) {
  std::string out;
  Sheet sheet(&out);
  headers(sheet, packet, "");
  Packet quote;
  if (parse_quoted(packet, &quote)) headers(sheet, quote, "quoted ");
  if (packet.truncated()) {
    sheet.heading(fmt::format("truncated to {} of {} bytes", packet.size, packet.length));
  }
  hex_lines(&out, packet);
  return out;
}

}  // namespace fettle
