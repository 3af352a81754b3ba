#include "rules/packet_fields.h"

#include <span>

#include "core/bytes.h"
#include "core/checksum.h"
#include "core/ip_numbers.h"

namespace fettle {
namespace {

constexpr uint8_t kTcpAck = 0x10;
constexpr uint8_t kMssOption = 2;

class Builder {
 public:
  explicit Builder(const PacketFields& fields)
      : fields_(fields), protocol_(fields.protocol), size_(header_size(fields)) {
    size_ += static_cast<uint32_t>(fields.payload.size());
    out_.reserve(size_);
  }

  std::vector<std::byte> build() {
    fields_.src.family == Family::kIpv4 ? put_ipv4() : put_ipv6();
    const auto transport = static_cast<uint32_t>(out_.size());
    put_transport(size_ - transport);
    put(fields_.payload);
    put_checksums(transport);
    return std::move(out_);
  }

 private:
  void put8(uint32_t number) { out_.push_back(static_cast<std::byte>(number)); }
  void put16(uint32_t number) { put8(number >> 8), put8(number); }
  void put32(uint32_t number) { put16(number >> 16), put16(number); }
  void put(std::span<const std::byte> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  bool is(Protocol protocol) const { return protocol_ == static_cast<uint8_t>(protocol); }

  void put_ipv4() {
    put8(0x40 | kIpv4Header / 4);
    put8(traffic_class());
    put16(size_);
    put16(0);
    put16(0x4000);
    put8(fields_.ttl);
    put8(protocol_);
    put16(0);
    put(fields_.src.span());
    put(fields_.dst.span());
  }
  void put_ipv6() {
    put32(6u << 28 | traffic_class() << 20);
    put16(size_ - kIpv6Header);
    put8(protocol_);
    put8(fields_.ttl);
    put(fields_.src.span());
    put(fields_.dst.span());
  }
  uint32_t traffic_class() const { return uint32_t{fields_.dscp} << 2 | fields_.ecn; }

  void put_transport(uint32_t length) {
    if (is(Protocol::kIcmp) || is(Protocol::kIcmpv6)) {
      put8(fields_.icmp_type);
      put8(fields_.icmp_code);
      put16(0);
      return put32(0);
    }
    const bool udp = is(Protocol::kUdp) || is(Protocol::kUdpLite);
    if (!udp && !is(Protocol::kTcp) && !is(Protocol::kSctp)) return;
    put16(fields_.src_port);
    put16(fields_.dst_port);
    if (udp) {
      put16(is(Protocol::kUdp) ? length : 0);
      return put16(0);
    }
    if (is(Protocol::kTcp)) return put_tcp();
    put32(1);
    put32(0);
  }
  void put_tcp() {
    put32(1);
    put32(fields_.tcp_flags & kTcpAck ? 1 : 0);
    put8(fields_.mss ? 6 << 4 : 5 << 4);
    put8(fields_.tcp_flags);
    put16(fields_.window);
    put32(0);
    if (fields_.mss) put32(uint32_t{kMssOption} << 24 | 4 << 16 | *fields_.mss);
  }

  void put_checksums(uint32_t transport) {
    if (fields_.src.family == Family::kIpv4) {
      store(out_.data() + 10, ipv4_header_checksum({out_.data(), kIpv4Header}));
    }
    const Packet packet = parse(out_);
    if (!packet.has_transport()) return;
    std::byte* const field = out_.data() + transport + checksum_field(protocol_);
    if (is(Protocol::kSctp)) {
      store(field, sctp_crc32c(std::span(out_).subspan(transport)));
    } else {
      store(field, full_transport_checksum(packet));
    }
  }

  const PacketFields& fields_;
  uint8_t protocol_;
  uint32_t size_;
  std::vector<std::byte> out_;
};

}  // namespace

uint32_t header_size(const PacketFields& fields) {
  const uint32_t network = fields.src.family == Family::kIpv4 ? kIpv4Header : kIpv6Header;
  switch (Protocol{fields.protocol}) {
    case Protocol::kTcp:
      return network + 20 + (fields.mss ? 4 : 0);
    case Protocol::kSctp:
      return network + 12;
    case Protocol::kUdp:
    case Protocol::kUdpLite:
    case Protocol::kIcmp:
    case Protocol::kIcmpv6:
      return network + 8;
  }
  return network;
}

std::vector<std::byte> build_packet(const PacketFields& fields) { return Builder(fields).build(); }

}  // namespace fettle
