// Which packets belong together, as a number to deal them out by.
#pragma once

#include <cstdint>

#include "core/packet.h"

namespace fettle {

// The same for both directions of a flow: addresses, protocol and ports, without an order. A packet
// that is a fragment counts without ports, so that all fragments of a datagram come out the same;
// so does one without a transport header. Malformed packets are all one flow, 0.
uint32_t flow_hash(const Packet& packet) noexcept;

}  // namespace fettle
