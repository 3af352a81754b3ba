// Packets for people: one line in the manner of tcpdump, and a hex dump with the headers decoded.
#pragma once

#include <string>

#include "core/packet.h"

namespace fettle {

// "IPv4 10.20.0.11:1331 > 198.51.100.9:1331 UDP 28 bytes, ttl 63", or why it could not be parsed.
// Bytes are those of the transport's payload.
std::string one_line(const Packet& packet);

// Each header decoded field by field on lines of its own, those of a packet quoted by an ICMP
// error too, then 16 bytes a line in hex and ASCII with offsets. Checksums are judged: good, bad
// (with the right one), absent, partial, not checked (truncated, fragment). Ends with a newline.
std::string decoded_dump(const Packet& packet);

}  // namespace fettle
