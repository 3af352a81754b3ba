// Edits of a parsed packet in place, each with the checksums that it touches: the IPv4 header's,
// the transport's, and the quoted packet's inside an ICMP error. Equal lengths only.
//
// The state of a checksum is kept (design section 4.5): good stays good and bad stays bad (both by
// RFC 1624, SCTP's CRC32c by its linearity), absent stays absent, partial stays partial in a
// capture and becomes a full one live, as packet.plan says. After the last edit of a changed packet
// call finish() once. A first fragment's checksum is followed like a whole one's.
//
// An edit that cannot be done changes nothing and says kMiss:
// - the packet is malformed, or its plan is kImmutable;
// - a byte of it lies outside the captured ones, or behind the headers of a later fragment;
// - the protocol has no such field;
// - it would give a structural byte another value (structure.h: version, header and packet lengths,
// protocol
//   and next header, fragment offset, checksums, ...; a byte that stays as it is does not count);
// - it would enter the CRC32c of an SCTP fragment, which cannot be kept right.
#pragma once

#include <cstdint>
#include <span>

#include "core/packet.h"

namespace fettle {

enum class Edit : uint8_t {
  kDone,  // as asked; packet.changed is set only where a byte really became another
  kMiss,
};

// Overwrites [offset, offset + bytes.size()) counted from packet.data.
Edit write(Packet& packet, uint32_t offset, std::span<const std::byte> bytes);

// The same inside the packet that an ICMP error quotes: offset counts from the quote's IP header.
// The quote's own IP header checksum and, where it is there, transport checksum follow (keeping
// their state), then the outer ICMP checksum. The quoted headers may be cut off anywhere behind the
// IP header.
Edit write_quoted(Packet& packet, uint32_t offset, std::span<const std::byte> bytes);

Edit set_ttl(Packet& packet, uint8_t ttl);             // IPv4 TTL, IPv6 hop limit
Edit set_dscp(Packet& packet, uint8_t dscp);           // 0..63, ECN untouched
Edit set_ecn(Packet& packet, uint8_t ecn);             // 0..3, DSCP untouched
Edit set_src(Packet& packet, const Address& address);  // kMiss where the family differs
Edit set_dst(Packet& packet, const Address& address);
Edit set_src_port(Packet& packet, uint16_t port);
Edit set_dst_port(Packet& packet, uint16_t port);
Edit set_flow_label(Packet& packet, uint32_t label);  // IPv6; 0..0xfffff
Edit set_tcp_window(Packet& packet, uint16_t window);
// Lowers the MSS option of a SYN that names more; one that names less is kDone, unchanged. kMiss:
// no TCP SYN, or no such option.
Edit clamp_mss(Packet& packet, uint16_t mss);

// Whether any edit of it can be done at all: it is not malformed, and its plan leaves a way.
bool can_edit(const Packet& packet);

// Finds out what edits do to the transport checksum, as each does that is the first one: to be
// called before bytes or lengths are changed by other means (resize.h). Requires !malformed().
void judge_checksum(Packet& packet);

// Completes what was put off: a partial checksum that must leave full (kFinish), or one to be
// cleared (kClear). Does nothing to an unchanged packet.
void finish(Packet& packet);

}  // namespace fettle
