// Damage as a line does it: bytes become others and no checksum follows.
#pragma once

#include <cstdint>

#include "core/mangle.h"
#include "core/packet.h"

namespace fettle {

// Inverts bit 0..7 of the byte at `offset`, counted from packet.data. A checksum that is yet to be
// finished is finished before, so that it is wrong behind. kMiss, and nothing changed: the packet
// is malformed, the byte is not there, or the kernel writes the checksum when the packet has been
// given back (ChecksumPlan::kPseudo), or would take none (kImmutable).
Edit flip_bit(Packet& packet, uint32_t offset, unsigned bit) noexcept;

}  // namespace fettle
