// The two formats' numbers and lengths.
//
// pcap:   header 24 (magic, versions, zone, sigfigs, snaplen, link type), then records of
//         16 (seconds, fraction, captured, original) and the captured bytes.
// pcapng: blocks of type 4, total length 4, body, total length 4; all multiples of 4.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fettle::capture_format {

inline constexpr uint32_t kPcapMicroseconds = 0xa1b2c3d4;
inline constexpr uint32_t kPcapNanoseconds = 0xa1b23c4d;
inline constexpr size_t kPcapHeader = 24;
inline constexpr size_t kPcapRecord = 16;
inline constexpr uint32_t kPcapLinkTypeMask = 0xffff;  // above: FCS length and flags

inline constexpr uint32_t kSectionHeader = 0x0a0d0d0a;  // reads the same in both byte orders
inline constexpr uint32_t kByteOrder = 0x1a2b3c4d;
inline constexpr uint32_t kInterfaceBlock = 1;
inline constexpr uint32_t kPacketBlock = 2;  // obsolete
inline constexpr uint32_t kSimplePacketBlock = 3;
inline constexpr uint32_t kEnhancedPacketBlock = 6;
inline constexpr size_t kBlockOverhead = 12;
inline constexpr uint16_t kOptionTimeResolution = 9;
inline constexpr uint16_t kOptionTimeOffset = 14;

// A record or block longer than this is taken for damage.
inline constexpr uint32_t kLongestRecord = 256u << 20;

}  // namespace fettle::capture_format
