#include "tests/packet_builder.h"

#include <span>
#include <stdexcept>
#include <string>

namespace fettle::testing {
namespace {

uint8_t value(std::byte byte) { return std::to_integer<uint8_t>(byte); }

void put16(ByteVector& out, uint32_t number) {
  out.push_back(std::byte(number >> 8 & 0xff));
  out.push_back(std::byte(number & 0xff));
}
void put32(ByteVector& out, uint32_t number) {
  put16(out, number >> 16);
  put16(out, number & 0xffff);
}
void set16(ByteVector& out, size_t at, uint32_t number) {
  out.at(at) = std::byte(number >> 8 & 0xff);
  out.at(at + 1) = std::byte(number & 0xff);
}
void append(ByteVector& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
Address address_of(std::string_view text) {
  const auto address = Address::parse(text);
  if (!address) throw std::invalid_argument(std::string(text));
  return *address;
}
void append_address(ByteVector& out, std::string_view text) {
  append(out, address_of(text).span());
}
std::vector<uint32_t> places(uint32_t from, uint32_t count) {
  std::vector<uint32_t> out;
  for (uint32_t i = 0; i < count; ++i) out.push_back(from + i);
  return out;
}

}  // namespace

// ---- Extension headers ------------------------------------------------------------------------

Extension hop_by_hop() { return {0, hex("00 00 05 02 00 00 01 00"), {}, -1}; }
Extension destination_options() { return {60, hex("00 00 01 04 00 00 00 00"), {}, -1}; }
Extension authentication() {
  return {51, hex("00 04 0000 00000100 00000001 0102030405060708090a0b0c"), {}, -1};
}
Extension other_extension(uint8_t type) {
  return {type, hex("00 01 05 00 0000 0001 0102030405060708"), {}, -1};
}

Extension home_address_option(std::string_view address, uint32_t pad_before) {
  Extension out{60, hex("00 00"), {}, -1};
  out.bytes.resize(2 + pad_before);  // Pad1
  append(out.bytes, hex("c9 10"));
  out.home_address = static_cast<int>(out.bytes.size());
  append_address(out.bytes, address);
  while (out.bytes.size() % 8 != 0) out.bytes.push_back(std::byte{0});
  out.bytes[1] = std::byte(out.bytes.size() / 8 - 1);
  return out;
}

Extension routing(uint8_t type, std::initializer_list<std::string_view> addresses, uint8_t left) {
  Extension out{43, hex("00 00 00 00 00 00 00 00"), {}, -1};
  for (const std::string_view address : addresses) append_address(out.bytes, address);
  out.bytes[1] = std::byte(out.bytes.size() / 8 - 1);
  out.bytes[2] = std::byte{type};
  out.bytes[3] = std::byte{left};
  if (type == 4) out.bytes[4] = std::byte(addresses.size() - 1);
  if (left > 0) {
    const int first = type == 4 ? 8 : static_cast<int>(out.bytes.size()) - 16;
    for (int i = 0; i < 16; ++i) out.destination.push_back(first + i);
  }
  return out;
}

Extension routing_rpl(std::initializer_list<std::string_view> addresses, uint8_t elided,
                      uint8_t left) {
  Extension out{43, hex("00 00 03 00 00 00 00 00"), {}, -1};
  for (const std::string_view address : addresses) {
    append(out.bytes, address_of(address).span().subspan(elided));
  }
  const auto end = static_cast<int>(out.bytes.size());
  while (out.bytes.size() % 8 != 0) out.bytes.push_back(std::byte{0});
  const size_t pad = out.bytes.size() - static_cast<size_t>(end);
  out.bytes[1] = std::byte(out.bytes.size() / 8 - 1);
  out.bytes[3] = std::byte{left};
  out.bytes[4] = std::byte(elided << 4 | elided);
  out.bytes[5] = std::byte(pad << 4);
  if (left > 0) {
    for (int i = 0; i < 16; ++i) out.destination.push_back(i < elided ? -1 : end - 16 + i);
  }
  return out;
}

Extension fragment_header(uint16_t offset, bool more) {
  Extension out{44, hex("00 00 00 00 12 34 56 78"), {}, -1};
  set16(out.bytes, 2, static_cast<uint32_t>(offset & 0xfff8) | (more ? 1 : 0));
  return out;
}

// ---- The builder ------------------------------------------------------------------------------

PacketBuilder::PacketBuilder(std::string_view source, std::string_view destination)
    : source_(address_of(source)), destination_(address_of(destination)) {}

PacketBuilder& PacketBuilder::ttl(uint8_t value) { return ttl_ = value, *this; }
PacketBuilder& PacketBuilder::traffic_class(uint8_t value) { return traffic_class_ = value, *this; }
PacketBuilder& PacketBuilder::options(ByteVector bytes) {
  options_ = std::move(bytes);
  while (options_.size() % 4 != 0) options_.push_back(std::byte{0});
  return *this;
}
PacketBuilder& PacketBuilder::source_route(uint8_t type,
                                           std::initializer_list<std::string_view> route,
                                           uint8_t pointer, uint32_t before) {
  ByteVector option(before, std::byte{1});
  option.push_back(std::byte{type});
  option.push_back(std::byte(3 + 4 * route.size()));
  option.push_back(std::byte{pointer});
  for (const std::string_view address : route) append_address(option, address);
  if (pointer <= 3 + 4 * route.size()) {
    route_final_ = 20 + static_cast<uint32_t>(option.size()) - 4;
  }
  return options(std::move(option));
}
PacketBuilder& PacketBuilder::extension(Extension header) {
  extensions_.push_back(std::move(header));
  return *this;
}
PacketBuilder& PacketBuilder::ipv4_fragment(uint16_t flags_and_offset) {
  return fragment_ = flags_and_offset, *this;
}

PacketBuilder& PacketBuilder::udp(uint16_t source, uint16_t destination) {
  protocol_ = 17;
  header_.clear();
  put16(header_, source);
  put16(header_, destination);
  put32(header_, 0);
  return *this;
}
PacketBuilder& PacketBuilder::udp_lite(uint16_t source, uint16_t destination, uint16_t coverage) {
  udp(source, destination);
  set16(header_, 4, coverage);
  protocol_ = 136;
  return *this;
}
PacketBuilder& PacketBuilder::tcp(uint16_t source, uint16_t destination, uint8_t flags,
                                  ByteVector options) {
  while (options.size() % 4 != 0) options.push_back(std::byte{0});
  protocol_ = 6;
  header_.clear();
  put16(header_, source);
  put16(header_, destination);
  put32(header_, 0x01020304);
  put32(header_, 0x05060708);
  put16(header_, static_cast<uint32_t>((5 + options.size() / 4) << 12 | flags));
  put16(header_, 0xfaf0);
  put32(header_, 0);
  append(header_, options);
  return *this;
}
PacketBuilder& PacketBuilder::sctp(uint16_t source, uint16_t destination) {
  protocol_ = 132;
  header_.clear();
  put16(header_, source);
  put16(header_, destination);
  put32(header_, 0xcafef00d);
  put32(header_, 0);
  return *this;
}
PacketBuilder& PacketBuilder::icmp(uint8_t type, uint8_t code, uint32_t rest) {
  protocol_ = ipv4() ? 1 : 58;
  header_.assign({std::byte{type}, std::byte{code}, std::byte{0}, std::byte{0}});
  put32(header_, rest);
  return *this;
}
PacketBuilder& PacketBuilder::protocol(uint8_t number) {
  header_.clear();
  return protocol_ = number, *this;
}

PacketBuilder& PacketBuilder::payload(ByteVector bytes) {
  return payload_ = std::move(bytes), *this;
}
PacketBuilder& PacketBuilder::udp_surplus(ByteVector bytes) {
  return surplus_ = std::move(bytes), *this;
}
PacketBuilder& PacketBuilder::checksum(State state) { return checksum_ = state, *this; }
PacketBuilder& PacketBuilder::header_checksum(State state) {
  return header_checksum_ = state, *this;
}

void PacketBuilder::put_ipv4(Built& out) const {
  const size_t header = 20 + options_.size();
  const size_t total = header + header_.size() + payload_.size() + surplus_.size();
  ByteVector& bytes = out.bytes;
  bytes.push_back(std::byte(0x40 | header / 4));
  bytes.push_back(std::byte{traffic_class_});
  put16(bytes, static_cast<uint32_t>(total));
  put16(bytes, 0x1c46);
  put16(bytes, fragment_);
  bytes.push_back(std::byte{ttl_});
  bytes.push_back(std::byte{protocol_});
  put16(bytes, 0);
  append(bytes, source_.span());
  append(bytes, destination_.span());
  append(bytes, options_);
  out.layout.ipv4_header = static_cast<uint32_t>(header);
  out.layout.source = places(12, 4);
  out.layout.destination = places(route_final_ ? route_final_ : 16, 4);
}

void PacketBuilder::put_ipv6(Built& out) const {
  size_t after = header_.size() + payload_.size() + surplus_.size();
  for (const Extension& extension : extensions_) after += extension.bytes.size();
  ByteVector& bytes = out.bytes;
  put32(bytes, 0x60000000u | uint32_t{traffic_class_} << 20 | 0x12345);
  put16(bytes, static_cast<uint32_t>(after));
  bytes.push_back(std::byte{extensions_.empty() ? protocol_ : extensions_[0].type});
  bytes.push_back(std::byte{ttl_});
  append(bytes, source_.span());
  append(bytes, destination_.span());
  out.layout.source = places(8, 16);
  out.layout.destination = places(24, 16);
  for (size_t i = 0; i < extensions_.size(); ++i) {
    const Extension& extension = extensions_[i];
    const auto at = static_cast<uint32_t>(bytes.size());
    append(bytes, extension.bytes);
    bytes[at] = std::byte{i + 1 < extensions_.size() ? extensions_[i + 1].type : protocol_};
    if (extension.home_address >= 0) {
      out.layout.source = places(at + static_cast<uint32_t>(extension.home_address), 16);
    }
    for (size_t k = 0; k < extension.destination.size(); ++k) {
      const int place = extension.destination[k];
      out.layout.destination[k] =
          place < 0 ? 24 + static_cast<uint32_t>(k) : at + static_cast<uint32_t>(place);
    }
  }
}

void PacketBuilder::put_transport(Built& out) const {
  Layout& layout = out.layout;
  layout.protocol = protocol_;
  layout.transport = static_cast<uint32_t>(out.bytes.size());
  append(out.bytes, header_);
  append(out.bytes, payload_);
  layout.end = layout.covered = static_cast<uint32_t>(out.bytes.size());
  append(out.bytes, surplus_);
  if (protocol_ == 17) set16(out.bytes, layout.transport + 4, layout.end - layout.transport);
  if (protocol_ == 136) {
    const uint32_t coverage = uint32_t{value(header_[4])} << 8 | value(header_[5]);
    if (coverage != 0) layout.covered = layout.transport + coverage;
  }
}

void PacketBuilder::put_checksums(Built& out) const {
  ByteVector& bytes = out.bytes;
  const Layout& layout = out.layout;
  if (layout.ipv4_header != 0) {
    const uint32_t bad = header_checksum_ == State::kBad ? 0x0101 : 0;
    const std::span<const std::byte> header(bytes.data(), layout.ipv4_header);
    set16(bytes, 10, (~uint32_t{plain_sum(header)} & 0xffff) ^ bad);
  }
  const int field = plain_field(protocol_);
  if (field < 0) return;
  const size_t at = layout.transport + static_cast<size_t>(field);
  uint32_t checksum = plain_full_checksum(bytes, layout);
  if (checksum_ == State::kBad) checksum ^= 0x1001;
  if (checksum_ == State::kAbsent) checksum = 0;
  if (checksum_ == State::kPartial) {
    checksum = protocol_ == 132 ? 0 : plain_pseudo_sum(bytes, layout);
  }
  if (protocol_ == 132) {
    set16(bytes, at, checksum >> 16);
    set16(bytes, at + 2, checksum & 0xffff);
  } else {
    set16(bytes, at, checksum);
  }
}

Built PacketBuilder::build() const {
  Built out;
  ipv4() ? put_ipv4(out) : put_ipv6(out);
  put_transport(out);
  put_checksums(out);
  return out;
}

std::pair<Built, Built> split(const Built& whole, uint32_t first) {
  const uint32_t at = whole.layout.transport;
  const auto piece = [&](uint32_t from, uint32_t to, bool more) {
    Built out{{whole.bytes.begin(), whole.bytes.begin() + at}, {}};
    if (whole.layout.ipv4_header != 0) {
      set16(out.bytes, 2, at + to - from);
      set16(out.bytes, 6, (more ? 0x2000u : 0u) | from / 8);
      set16(out.bytes, 10, 0);
      set16(out.bytes, 10, ~uint32_t{plain_sum(out.bytes)} & 0xffff);
    } else {
      Extension header = fragment_header(static_cast<uint16_t>(from), more);
      header.bytes[0] = out.bytes[6];
      out.bytes[6] = std::byte{44};
      set16(out.bytes, 4, 8 + to - from);
      append(out.bytes, header.bytes);
    }
    append(out.bytes, {whole.bytes.data() + at + from, to - from});
    out.layout.ipv4_header = whole.layout.ipv4_header;
    out.layout.protocol = whole.layout.protocol;
    return out;
  };
  return {piece(0, first, true), piece(first, whole.layout.end - at, false)};
}

}  // namespace fettle::testing
