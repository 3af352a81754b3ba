// IANA's names of protocol numbers and ICMP types, for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/address.h"

namespace fettle {

// "UDP", "GRE", "hop-by-hop options"; "protocol 200" where fettle has no name.
std::string protocol_name(uint8_t protocol);
// "echo request", "destination unreachable"; empty where fettle has no name. kIpv4: ICMP's types,
// kIpv6: ICMPv6's.
std::string_view icmp_type_name(Family family, uint8_t type);

}  // namespace fettle
