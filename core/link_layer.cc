#include "core/link_layer.h"

#include "core/bytes.h"

namespace fettle {
namespace {

using Frame = std::span<std::byte>;
using Found = std::optional<Frame>;

// LINKTYPE_ numbers (tcpdump.org/linktypes.html).
constexpr uint32_t kNull = 0;
constexpr uint32_t kEthernet = 1;
constexpr uint32_t kPpp = 9;
constexpr uint32_t kRawBsd = 12;
constexpr uint32_t kRawOpenBsd = 14;
constexpr uint32_t kRaw = 101;
constexpr uint32_t kLoop = 108;
constexpr uint32_t kSll = 113;
constexpr uint32_t kIpv4 = 228;
constexpr uint32_t kIpv6 = 229;
constexpr uint32_t kSll2 = 276;

constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr uint16_t kTypeVlan = 0x8100;
constexpr uint16_t kTypeProviderVlan = 0x88a8;
constexpr uint16_t kTypeOldVlan = 0x9100;
constexpr uint16_t kTypePppoeSession = 0x8864;
constexpr uint16_t kPppIpv4 = 0x0021;
constexpr uint16_t kPppIpv6 = 0x0057;

Found rest(Frame frame, size_t offset) {
  if (offset >= frame.size()) return std::nullopt;
  return frame.subspan(offset);
}

// A PPP protocol number may be one byte, where its lowest bit says that it ends there (RFC 1661).
Found from_ppp(Frame frame) {
  if (frame.size() < 2) return std::nullopt;
  const bool short_form = load_u8(frame.data()) & 1;
  const uint16_t protocol = short_form ? load_u8(frame.data()) : load_be16(frame.data());
  if (protocol != kPppIpv4 && protocol != kPppIpv6) return std::nullopt;
  return rest(frame, short_form ? 1 : 2);
}

// `at` is the offset of an EtherType.
Found from_ether_type(Frame frame, size_t at) {
  constexpr size_t kTag = 4;
  constexpr size_t kPppoeHeader = 6;
  while (at + 2 <= frame.size()) {
    switch (load_be16(frame.data() + at)) {
      case kTypeIpv4:
      case kTypeIpv6:
        return rest(frame, at + 2);
      case kTypeVlan:
      case kTypeProviderVlan:
      case kTypeOldVlan:
        at += kTag;
        break;
      case kTypePppoeSession:
        if (at + 2 + kPppoeHeader > frame.size()) return std::nullopt;
        return from_ppp(frame.subspan(at + 2 + kPppoeHeader));
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

Found from_ppp_frame(Frame frame) {
  const bool framed = frame.size() >= 2 && load_be16(frame.data()) == 0xff03;  // RFC 1662
  return from_ppp(framed ? frame.subspan(2) : frame);
}

// The address family in the byte order of the machine that captured (null) or the network (loop):
// AF_INET is 2 everywhere, AF_INET6 is not.
Found from_loopback(Frame frame) {
  if (frame.size() < 4) return std::nullopt;
  uint32_t family = load_be32(frame.data());
  if (family > 0xffff) family = std::byteswap(family);
  switch (family) {
    case 2:
    case 10:  // Linux
    case 24:  // NetBSD, OpenBSD
    case 28:  // FreeBSD
    case 30:  // Darwin
      return rest(frame, 4);
    default:
      return std::nullopt;
  }
}

Found from_sll2(Frame frame) {
  constexpr size_t kHeader = 20;
  if (frame.size() < kHeader) return std::nullopt;
  const uint16_t type = load_be16(frame.data());
  if (type == kTypeIpv4 || type == kTypeIpv6) return rest(frame, kHeader);
  if (type == kTypeVlan || type == kTypeProviderVlan || type == kTypeOldVlan) {
    return from_ether_type(frame, kHeader + 2);
  }
  return std::nullopt;
}

// Where the first EtherType stands; 0 where the link type has none.
size_t ether_type_of(uint32_t link_type) {
  switch (link_type) {
    case kEthernet:
      return 12;
    case kSll:
      return 14;
    case kSll2:
      return 22;  // behind a tag; without one the headers end before it
    default:
      return 0;
  }
}

}  // namespace

void change_link_length(uint32_t link_type, Frame frame, int64_t change) {
  constexpr size_t kTag = 4;
  constexpr size_t kLengthBehindType = 6;
  size_t at = ether_type_of(link_type);
  if (at == 0) return;
  while (at + 2 <= frame.size()) {
    const uint16_t type = load_be16(frame.data() + at);
    if (type == kTypePppoeSession && at + kLengthBehindType + 2 <= frame.size()) {
      std::byte* const length = frame.data() + at + kLengthBehindType;
      store_be16(length, static_cast<uint16_t>(load_be16(length) + change));
    }
    if (type != kTypeVlan && type != kTypeProviderVlan && type != kTypeOldVlan) return;
    at += kTag;
  }
}

Found network_layer(uint32_t link_type, Frame frame) {
  switch (link_type) {
    case kEthernet:
      return from_ether_type(frame, 12);
    case kRawBsd:
    case kRawOpenBsd:
    case kRaw:
    case kIpv4:
    case kIpv6:
      return rest(frame, 0);
    case kNull:
    case kLoop:
      return from_loopback(frame);
    case kPpp:
      return from_ppp_frame(frame);
    case kSll:
      return from_ether_type(frame, 14);
    case kSll2:
      return from_sll2(frame);
    default:
      return std::nullopt;
  }
}

}  // namespace fettle
