#include "core/protocol_names.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

namespace fettle {
namespace {

struct Name {
  uint8_t number;
  std::string_view name;
};

constexpr Name kProtocols[] = {
    {0, "hop-by-hop options"},
    {1, "ICMP"},
    {2, "IGMP"},
    {4, "IPv4"},
    {6, "TCP"},
    {17, "UDP"},
    {33, "DCCP"},
    {41, "IPv6"},
    {43, "routing header"},
    {44, "fragment header"},
    {46, "RSVP"},
    {47, "GRE"},
    {50, "ESP"},
    {51, "AH"},
    {58, "ICMPv6"},
    {59, "no next header"},
    {60, "destination options"},
    {88, "EIGRP"},
    {89, "OSPF"},
    {103, "PIM"},
    {108, "IPComp"},
    {112, "VRRP"},
    {115, "L2TP"},
    {132, "SCTP"},
    {135, "mobility header"},
    {136, "UDP-Lite"},
    {139, "HIP"},
    {140, "shim6"},
};

constexpr Name kIcmpTypes[] = {
    {0, "echo reply"},           {3, "destination unreachable"},
    {4, "source quench"},        {5, "redirect"},
    {8, "echo request"},         {9, "router advertisement"},
    {10, "router solicitation"}, {11, "time exceeded"},
    {12, "parameter problem"},   {13, "timestamp request"},
    {14, "timestamp reply"},
};

constexpr Name kIcmpv6Types[] = {
    {1, "destination unreachable"},
    {2, "packet too big"},
    {3, "time exceeded"},
    {4, "parameter problem"},
    {128, "echo request"},
    {129, "echo reply"},
    {130, "multicast listener query"},
    {131, "multicast listener report"},
    {132, "multicast listener done"},
    {133, "router solicitation"},
    {134, "router advertisement"},
    {135, "neighbor solicitation"},
    {136, "neighbor advertisement"},
    {137, "redirect"},
    {143, "multicast listener report v2"},
};

std::string_view find(std::span<const Name> names, uint8_t number) {
  const auto found = std::ranges::find(names, number, &Name::number);
  return found == names.end() ? std::string_view{} : found->name;
}

}  // namespace

std::string protocol_name(uint8_t protocol) {
  const std::string_view name = find(kProtocols, protocol);
  return name.empty() ? fmt::format("protocol {}", protocol) : std::string(name);
}

std::string_view icmp_type_name(Family family, uint8_t type) {
  return family == Family::kIpv4 ? find(kIcmpTypes, type) : find(kIcmpv6Types, type);
}

}  // namespace fettle
