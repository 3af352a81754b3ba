// A capture of IP packets without a link layer: pcap with nanoseconds and LINKTYPE_RAW, in this
// machine's byte order.
//
// Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcaplinktype.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/packet.h"

namespace fettle::raw_capture {

inline constexpr uint32_t kLinkType = 101;
inline constexpr size_t kHeader = 24;  // of the file
inline constexpr size_t kRecord = 16;  // in front of a packet's bytes

std::array<std::byte, kHeader> header();
// Whether a file that begins with these bytes may be gone on with.
bool is_header(std::span<const std::byte> bytes);

constexpr size_t record_size(const Packet& packet) { return kRecord + packet.size; }
// Writes record_size(packet) bytes. Time in nanoseconds since 1970.
void put_record(std::byte* out, uint64_t time, const Packet& packet) noexcept;

}  // namespace fettle::raw_capture
