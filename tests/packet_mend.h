// Bytes made to be a packet that others take: lengths and checksums that fit. By fettle's own
// parser and sums: for input, not for judging.
#pragma once

#include <cstddef>
#include <span>

#include "core/packet.h"

namespace fettle::testing {

// IP's length and UDP's become those of the bytes. Nothing where the IP header is not whole.
void mend_lengths(std::span<std::byte> bytes);
// IPv4's header and the transport become right; unfinished: the transport's field holds the sum of
// the pseudo-header. Nothing where the packet is malformed.
void mend_checksums(const Packet& packet, bool unfinished = false);
// What Linux looks at before netfilter does (net/ipv4/ip_input.c, net/ipv6/ip6_input.c:
// ip_rcv_core, ip6_rcv_core): a version, lengths within the bytes, IPv4's checksum. The rest stays.
void make_admissible(std::span<std::byte> bytes);

}  // namespace fettle::testing
