// Numbers of IPv6 extension headers and of the options that fettle looks for (IANA), and the length
// of an extension header. Shared by those who walk headers: packet.cc and structure.cc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bytes.h"

namespace fettle {

inline constexpr uint8_t kHopByHop = 0;
inline constexpr uint8_t kRouting = 43;
inline constexpr uint8_t kFragment = 44;
inline constexpr uint8_t kAuthentication = 51;
inline constexpr uint8_t kNoNextHeader = 59;
inline constexpr uint8_t kDestinationOptions = 60;
inline constexpr uint8_t kMobility = 135;
inline constexpr uint8_t kHostIdentity = 139;
inline constexpr uint8_t kShim6 = 140;

inline constexpr uint8_t kLooseSourceRoute = 131;  // IPv4 options
inline constexpr uint8_t kStrictSourceRoute = 137;
inline constexpr uint8_t kHomeAddressOption = 201;  // IPv6 destination option

inline constexpr uint8_t kRoutingRpl = 3;  // routing types, RFC 6554 and 8754
inline constexpr uint8_t kRoutingSegments = 4;

inline constexpr uint32_t kIpv4Header = 20;
inline constexpr uint32_t kIpv6Header = 40;

constexpr bool is_extension(uint8_t next) {
  switch (next) {
    case kHopByHop:
    case kRouting:
    case kFragment:
    case kAuthentication:
    case kDestinationOptions:
    case kMobility:
    case kHostIdentity:
    case kShim6:
      return true;
    default:
      return false;
  }
}

// Of the extension header of this type that starts at `header`, two bytes of which can be read.
inline uint32_t extension_size(uint8_t type, const std::byte* header) {
  if (type == kFragment) return 8;
  const uint32_t units = load_u8(header + 1);
  return type == kAuthentication ? (units + 2) * 4 : (units + 1) * 8;
}

}  // namespace fettle
