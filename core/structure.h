// Which bytes of a packet an edit must leave as they are, so that the packet's description stays
// true and checksums stay mangle.h's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/packet.h"

namespace fettle {

// False where writing `bytes` at `at` would give another value to a structural byte: version,
// header and packet lengths, protocol and next header, fragment offset and more-fragments,
// checksums, type and length of options, and what says how far a source route or routing header is
// used up. Requires the network header whole (packet.header > 0) and at + bytes.size() <=
// packet.size.
bool keeps_structure(const Packet& packet, uint32_t at, std::span<const std::byte> bytes);

}  // namespace fettle
