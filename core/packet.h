// One parse of an IP packet into a flat description. Later stages read these offsets and never
// work them out again. A bad packet is data: parse() always fills a Packet and says in `stop` why
// it went no further; it reads nothing outside the bytes it was given.
//
// Sources: RFC 791, 8200 (chain of extension headers), 4302 (AH in that chain), 6275 (mobility,
// home address, routing type 2), 6554 (routing type 3), 8754 (routing type 4), 7401 (HIP), 5533
// (shim6), 9293, 768, 3828 (UDP-Lite), 792, 4443, 4884 (length of a quote), 9260 (SCTP).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "core/address.h"
#include "core/bytes.h"

namespace fettle {

// IANA protocol numbers that fettle knows by more than their number.
enum class Protocol : uint8_t {
  kIcmp = 1,
  kTcp = 6,
  kUdp = 17,
  kIcmpv6 = 58,
  kSctp = 132,
  kUdpLite = 136,
};

enum class ParseStop : uint8_t {
  kComplete,          // transport header found, whole
  kLaterFragment,     // a fragment with offset > 0: addresses and protocol, no transport header
  kUnknownTransport,  // none of Protocol, or one ICMP in the other's IP; `transport` == `payload`
  // From here on the packet counts as malformed.
  kNotIp,               // no bytes, or a version that is neither 4 nor 6
  kTruncatedNetwork,    // the bytes end inside the network header or its extension headers
  kTruncatedTransport,  // the bytes end inside the transport header; `transport` is set
  kBadNetworkLength,    // header length < minimum, or total length < header length
  kBadTransportLength,  // TCP data offset, UDP or UDP-Lite length contradict the IP length;
                        // `transport` is set
};

// Where an offset in a rule counts from.
enum class Origin : uint8_t {
  kPayload,          // first byte after the transport header
  kTransport,        // first byte of the transport header
  kNetwork,          // first byte of the IP header
  kQuotedNetwork,    // the IP header that an ICMP error quotes
  kQuotedTransport,  // the transport header that an ICMP error quotes
};

enum class Hook : uint8_t { kPrerouting, kInput, kForward, kOutput, kPostrouting, kNone = 255 };

// What the transport checksum of a packet is to be when it leaves changed. See offload.h.
enum class ChecksumPlan : uint8_t {
  kCapture,    // keep its state; a field that equals the sum of the pseudo-header is partial
  kComplete,   // live and complete (or absent): incremental update, RFC 1624
  kFinish,     // live, left to hardware: the field holds the pseudo-header's sum; write a full one
  kPseudo,     // GSO: keep the pseudo-header's sum in the field, the stack finishes each segment
  kClear,      // UDP over IPv4: write 0 (none)
  kImmutable,  // no checksum that the kernel would accept can be written: every edit misses
};

struct Packet {
  std::byte* data = nullptr;  // first byte of the IP header; not owned
  uint32_t size = 0;          // bytes present from data: captured, and not beyond the IP length
  uint32_t length = 0;     // the IP packet's own length (header included); > size where truncated
  uint32_t header = 0;     // end of the IP header with its options or extension headers; 0: unknown
  uint32_t transport = 0;  // offset of the transport header; 0 where there is none
  uint32_t payload = 0;    // offset of the transport payload; 0 where there is none. <= size
  uint32_t transport_end = 0;  // where the transport's data ends: <= length, may be > size. UDP's
                               // own length field can end it before `length`
  uint32_t extensions = 0;     // IPv6: offset of the last next-header field (which names
                               // `protocol`); IPv4: 9
  uint32_t final_destination = 0;  // offset of the address that stands for the destination in the
                                   // pseudo-header: the header's own, or the last one of a
                                   // routing header / source route that is not yet used up
  uint32_t home_address = 0;  // offset of a Mobile IPv6 home address option's address (RFC 6275),
                              // which stands for the source in the pseudo-header; else 0
  uint32_t capacity = 0;      // resize.h: bytes that may be used from data on, and the longest
                              // that the packet may become; 0: its length is to stay
  uint8_t final_elided = 0;   // so many first bytes of that address are not there but in the
                              // header's own (routing type 3, CmprE); elsewhere 0
  Family family = Family::kNone;
  uint8_t protocol = 0;  // after the extension headers
  ParseStop stop = ParseStop::kNotIp;
  bool fragment = false;  // first or later, not an atomic one
  bool later_fragment = false;
  ChecksumPlan plan = ChecksumPlan::kCapture;

  // Written by mangle.h alone.
  enum class Sum : uint8_t {
    kUnknown,      // not looked at yet
    kLeft,         // no edit enters it: none there, absent, or finish() writes it
    kIncremental,  // each edit enters it
    kPseudo,       // partial: edits of the pseudo-header enter it, not complemented
    kCrc,          // SCTP: each edit enters the CRC32c
    kRefuse,       // SCTP fragment: an edit that would enter the CRC32c misses
  };
  Sum sum = Sum::kUnknown;
  bool changed = false;  // some byte differs from what was parsed
  bool resized = false;  // written by resize.h: size and length differ from what was parsed

  bool malformed() const { return stop >= ParseStop::kNotIp; }
  bool has_transport() const { return stop == ParseStop::kComplete; }
  bool is(Protocol p) const { return protocol == static_cast<uint8_t>(p); }
  bool has_ports() const {
    return has_transport() && (is(Protocol::kTcp) || is(Protocol::kUdp) || is(Protocol::kUdpLite) ||
                               is(Protocol::kSctp));
  }
  bool truncated() const { return size < length; }
  // Requires has_ports().
  uint16_t src_port() const { return load_be16(data + transport); }
  uint16_t dst_port() const { return load_be16(data + transport + 2); }
  // Require !malformed().
  const std::byte* src_bytes() const { return data + (family == Family::kIpv4 ? 12 : 8); }
  const std::byte* dst_bytes() const { return data + (family == Family::kIpv4 ? 16 : 24); }
  uint8_t ttl() const { return load_u8(data + (family == Family::kIpv4 ? 8 : 7)); }
  uint8_t traffic_class() const {  // DSCP << 2 | ECN
    return family == Family::kIpv4 ? load_u8(data + 1) : static_cast<uint8_t>(load_be16(data) >> 4);
  }
};

// Parses the IP packet that starts at bytes[0]. Bytes beyond the IP length (Ethernet padding) are
// left out of `size`. An IPv4 total length or IPv6 payload length of 0 with more bytes present
// (captured before segmentation, TSO; a jumbogram) takes bytes.size() as the length, but not where
// IPv6 says "no next header". IPv4 options are looked through for a source route only; nothing in
// them makes a packet malformed.
// The result points into `bytes`; `plan` is kCapture.
Packet parse(std::span<std::byte> bytes);

// The packet that an ICMP or ICMPv6 error quotes, as far as it is there: its `size` ends where
// the quote does (RFC 4884's extensions are no part of it), so headers may be missing (stop says
// so) and checksums cover bytes that are not here. `quote` points into the outer packet. False: the
// packet is no ICMP error, or quotes nothing.
bool parse_quoted(const Packet& packet, Packet* quote);

// *offset = the place, counted from data, of the byte `at` bytes after the origin. False where the
// packet has no such byte here. kPayload and kTransport need a transport header or an unknown
// transport (so never a later fragment) and end with the transport's own length. Quoted origins
// give places in the outer packet and end with the quote.
bool resolve(const Packet& packet, Origin origin, uint32_t at, uint32_t* offset);
bool resolve_quoted(const Packet& packet, Origin origin, uint32_t at, uint32_t* offset);
inline bool resolve(const Packet& packet, Origin origin, uint32_t at, uint32_t* offset) {
  uint32_t base = 0;
  uint32_t end = packet.size;
  if (origin == Origin::kPayload || origin == Origin::kTransport) {
    if (packet.malformed() || packet.transport == 0) return false;
    base = origin == Origin::kPayload ? packet.payload : packet.transport;
    end = packet.transport_end < end ? packet.transport_end : end;
  } else if (origin != Origin::kNetwork) {
    return resolve_quoted(packet, origin, at, offset);
  }
  if (base >= end || at >= end - base) return false;
  *offset = base + at;
  return true;
}

// "truncated inside the IP header or its extension headers", and so on: for people.
std::string_view to_string(ParseStop stop);
std::string_view to_string(Hook hook);

// A network interface's name, zero-padded, so that two 64-bit compares tell equality.
using InterfaceName = std::array<char, 16>;  // IFNAMSIZ
inline InterfaceName interface_name(std::string_view text) {
  InterfaceName name{};
  text.copy(name.data(), name.size() - 1);
  return name;
}

// What comes with a packet beside its bytes. In a capture: only what the command line gave.
struct Metadata {
  InterfaceName in{};  // empty: none or not known
  InterfaceName out{};
  uint32_t mark = 0;  // skb->mark, which steps may change
  Hook hook = Hook::kNone;
  Family family = Family::kNone;  // as the kernel says it; the only family in metadata mode
  uint32_t draw = 0;              // what is left to chance goes by it: another one for each packet
};

}  // namespace fettle
