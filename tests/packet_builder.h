// Packets for tests, and a plain judge of their checksums. Neither uses the code under test:
// lengths and checksums are worked out here, byte by byte, from what the builder was told.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "core/address.h"
#include "tests/packet_judge.h"

namespace fettle::testing {

struct Built {
  ByteVector bytes;
  Layout layout;
};

// An IPv6 extension header without its next-header byte's value, which the builder fills in.
struct Extension {
  uint8_t type = 0;
  ByteVector bytes;
  std::vector<int> destination;  // places of the final destination's bytes in `bytes`; -1: in the
                                 // IPv6 header's own destination. Empty: not a source route
  int home_address = -1;         // place of a home address in `bytes`
};
Extension hop_by_hop();
Extension destination_options();
Extension home_address_option(std::string_view address, uint32_t pad_before = 2);
// Types 0, 2 and 4. Addresses in the order of the header.
Extension routing(uint8_t type, std::initializer_list<std::string_view> addresses, uint8_t left);
// Type 3: `addresses` with their first `elided` bytes left out, the last included.
Extension routing_rpl(std::initializer_list<std::string_view> addresses, uint8_t elided,
                      uint8_t left);
Extension fragment_header(uint16_t offset, bool more);
Extension authentication();
Extension other_extension(uint8_t type);  // mobility, HIP, shim6: 16 bytes

class PacketBuilder {
 public:
  PacketBuilder(std::string_view source, std::string_view destination);  // either family, both one

  PacketBuilder& ttl(uint8_t value);
  PacketBuilder& traffic_class(uint8_t value);
  PacketBuilder& options(ByteVector bytes);  // IPv4; padded to 4 with end-of-options
  // An IPv4 option of type 131 or 137 through `route`, `pointer` as in RFC 791, after `before`
  // NOPs.
  PacketBuilder& source_route(uint8_t type, std::initializer_list<std::string_view> route,
                              uint8_t pointer, uint32_t before = 0);
  PacketBuilder& extension(Extension header);  // IPv6
  PacketBuilder& ipv4_fragment(uint16_t flags_and_offset);

  PacketBuilder& udp(uint16_t source, uint16_t destination);
  PacketBuilder& udp_lite(uint16_t source, uint16_t destination, uint16_t coverage);
  PacketBuilder& tcp(uint16_t source, uint16_t destination, uint8_t flags = 0x10,
                     ByteVector options = {});
  PacketBuilder& sctp(uint16_t source, uint16_t destination);
  PacketBuilder& icmp(uint8_t type, uint8_t code, uint32_t rest = 0);  // ICMPv6 in IPv6
  PacketBuilder& protocol(uint8_t number);  // one that fettle does not know

  PacketBuilder& payload(ByteVector bytes);
  PacketBuilder& udp_surplus(ByteVector bytes);  // inside the IP length, behind UDP's
  PacketBuilder& checksum(State state);          // default kGood
  PacketBuilder& header_checksum(State state);   // IPv4; kGood or kBad

  Built build() const;

 private:
  bool ipv4() const { return source_.family == Family::kIpv4; }
  void put_ipv4(Built& out) const;
  void put_ipv6(Built& out) const;
  void put_transport(Built& out) const;
  void put_checksums(Built& out) const;

  Address source_, destination_;
  uint8_t ttl_ = 64, traffic_class_ = 0, protocol_ = 59;
  ByteVector options_;
  uint32_t route_final_ = 0;
  uint16_t fragment_ = 0;
  std::vector<Extension> extensions_;
  ByteVector header_, payload_, surplus_;
  State checksum_ = State::kGood, header_checksum_ = State::kGood;
};

// The packet as two fragments, the first with `first` bytes of the transport (a multiple of 8).
std::pair<Built, Built> split(const Built& whole, uint32_t first);

}  // namespace fettle::testing
