#include "tests/packet_cases.h"

namespace fettle::testing {
namespace {

constexpr uint8_t kSyn = 0x02;

void add_ipv4(std::vector<PacketCase>& out) {
  const PacketBuilder ip("10.20.0.11", "198.51.100.9");
  const auto base = [&] { return ip; };
  out.push_back({"udp4", base().udp(1331, 1332)});
  out.push_back({"tcp4", base().tcp(40000, 80)});
  out.push_back(
      {"tcp4_options", base().tcp(40000, 80, kSyn, hex("01 020405b4 0402 080a0000000100000000"))});
  out.push_back({"icmp4_echo", base().icmp(8, 0, 0x12340001)});
  out.push_back({"sctp4", base().sctp(5000, 6000)});
  out.push_back({"udp_lite4_whole", base().udp_lite(1, 2, 0)});
  out.push_back({"udp_lite4_header", base().udp_lite(1, 2, 8)});
  out.push_back({"udp_lite4_odd", base().udp_lite(1, 2, 11)});
  out.push_back({"udp4_surplus", base().udp(1, 2).udp_surplus(filled(13))});
  out.push_back({"udp4_router_alert", base().options(hex("94040000")).udp(1, 2)});
  out.push_back({"udp4_lsrr", base().source_route(131, {"10.0.0.1", "10.0.0.2"}, 4).udp(1, 2)});
  out.push_back(
      {"tcp4_ssrr_odd", base().source_route(137, {"10.0.0.1", "10.0.0.2"}, 8, 2).tcp(1, 2)});
  out.push_back({"udp4_lsrr_used_up", base().source_route(131, {"10.0.0.1"}, 8).udp(1, 2)});
  out.push_back({"sctp4_lsrr", base().source_route(131, {"10.0.0.1"}, 4).sctp(1, 2)});
}

void add_ipv6(std::vector<PacketCase>& out) {
  const PacketBuilder ip("2001:db8::11", "2001:db8:1::9");
  const auto with = [&](Extension extension) {
    return PacketBuilder(ip).extension(std::move(extension));
  };
  const auto base = [&] { return ip; };
  out.push_back({"udp6", base().udp(1331, 1332)});
  out.push_back({"tcp6", base().tcp(40000, 80)});
  out.push_back({"icmp6_echo", base().icmp(128, 0, 0x12340001)});
  out.push_back({"sctp6", base().sctp(5000, 6000)});
  out.push_back({"udp_lite6", base().udp_lite(1, 2, 10)});
  out.push_back({"udp6_hop_by_hop", with(hop_by_hop()).udp(1, 2)});
  out.push_back(
      {"tcp6_routing0", with(routing(0, {"2001:db8:2::1", "2001:db8:2::2"}, 2)).tcp(1, 2)});
  out.push_back({"udp6_routing2", with(routing(2, {"2001:db8:3::1"}, 1)).udp(1, 2)});
  out.push_back(
      {"udp6_segments", with(routing(4, {"2001:db8:4::1", "2001:db8:4::2"}, 1)).udp(1, 2)});
  out.push_back(
      {"tcp6_rpl", with(routing_rpl({"2001:db8:1::a", "2001:db8:1::b"}, 15, 2)).tcp(1, 2)});
  out.push_back({"udp6_rpl_whole", with(routing_rpl({"2001:db8:5::a"}, 0, 1)).udp(1, 2)});
  out.push_back(
      {"udp6_rpl_even", with(routing_rpl({"2001:db8:1::a", "2001:db8:1::b"}, 8, 1)).udp(1, 2)});
  out.push_back({"udp6_routing_used_up", with(routing(0, {"2001:db8:2::1"}, 0)).udp(1, 2)});
  out.push_back({"udp6_home_address", with(home_address_option("2001:db8:6::1")).udp(1, 2)});
  out.push_back({"tcp6_home_address_odd", with(home_address_option("2001:db8:6::1", 3)).tcp(1, 2)});
  out.push_back({"udp6_mobile_both", with(routing(2, {"2001:db8:3::1"}, 1))
                                         .extension(home_address_option("2001:db8:6::1"))
                                         .udp(1, 2)});
  out.push_back({"icmp6_routing0", with(routing(0, {"2001:db8:2::1"}, 1)).icmp(128, 0, 7)});
  out.push_back({"tcp6_authenticated", with(authentication()).tcp(1, 2)});
  out.push_back({"udp6_mobility", with(other_extension(135)).udp(1, 2)});
  out.push_back({"udp6_hip", with(other_extension(139)).udp(1, 2)});
  out.push_back({"udp6_shim6", with(other_extension(140)).udp(1, 2)});
  out.push_back({"udp6_atomic_fragment", with(fragment_header(0, false)).udp(1, 2)});
  out.push_back({"tcp6_long_chain", with(hop_by_hop())
                                        .extension(destination_options())
                                        .extension(routing(4, {"2001:db8:4::1"}, 1))
                                        .extension(fragment_header(0, false))
                                        .extension(authentication())
                                        .extension(destination_options())
                                        .tcp(1, 2)});
}

}  // namespace

std::vector<PacketCase> packet_cases(const ByteVector& payload) {
  std::vector<PacketCase> out;
  add_ipv4(out);
  add_ipv6(out);
  for (PacketCase& one : out) one.builder.payload(payload);
  return out;
}

}  // namespace fettle::testing
