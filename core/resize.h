// Replacing a packet's bytes by more or fewer, in place, with the lengths and checksums that
// follow: IPv4's total length and header checksum, IPv6's payload length, UDP's length, UDP-Lite's
// coverage, the transport's checksum in its state (mangle.h).
//
// Sources: RFC 791, 8200, 768, 3828, 792, 4443.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/packet.h"

namespace fettle {

// Bytes of the longest packet: an IPv6 one, whose length field does not count its header.
constexpr size_t kLongestPacket = 40 + 65535;

// Why a packet's length was not changed; nothing of it is, then.
enum class Resize : uint8_t {
  kDone,
  kImmutable,   // malformed, or its plan is ChecksumPlan::kImmutable
  kOutside,     // not all of the removed bytes are payload of the transport
  kTruncated,   // not all of the packet is here
  kFragment,    // its lengths are shared with the packet's other fragments
  kSegments,    // to be cut into segments behind us (GSO), or its length fields say 0
  kStream,      // TCP: its sequence numbers count bytes
  kStructured,  // SCTP, whose chunks have lengths; an ICMP error, whose quote is what was sent
  kNoRoom,      // longer than packet.capacity or than its length fields hold; or capacity is 0
};

// Puts `bytes` in the place of `removed` bytes at `offset` (counted from packet.data) of the
// payload: UDP's, UDP-Lite's, that of an ICMP message that is no error, or of a transport that
// fettle does not know. What lies behind moves, bytes behind UDP's own length included. Offsets of
// payload and headers stay true. Of equal length it is a write(), wherever that is possible in the
// transport's payload, TCP's included. `bytes` must not lie in the packet.
//
// UDP-Lite: a coverage that ends before the place stays; one that ends in the removed bytes comes
// to cover all that stand there instead; one that covers the whole packet goes on to.
Resize replace(Packet& packet, uint32_t offset, uint32_t removed,
               std::span<const std::byte> bytes) noexcept;

// Whether replace() changes the length of such a packet at all: kDone, or why not. It may still say
// kOutside and kNoRoom.
Resize may_resize(const Packet& packet) noexcept;

std::string_view to_string(Resize result);  // "no room for a longer packet", ...: for people

}  // namespace fettle
