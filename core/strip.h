// Options taken out of headers. What they took is filled with "no operation" (1), so that no header
// becomes shorter: the kernel keeps the transport's place and its own notes about options from
// before the queue, and a shorter header would leave them pointing beside it.
//
// Sources: RFC 791, 1108, 7323, 9293; net/ipv4/ip_options.c.
#pragma once

#include "core/mangle.h"
#include "core/packet.h"

namespace fettle {

// All of an IPv4 header's options, whatever they say; malformed ones, too. With a source route that
// is not used up goes its last address, which stands for the destination in the pseudo-header: the
// transport's checksum follows to the header's own, which is where the packet then goes. kMiss: no
// options, or none of mangle.h's edits can be done.
Edit strip_ipv4_options(Packet& packet);

// Whether the header has an option that a router fills in (record route, timestamp, source route).
// Linux does so behind the hooks FORWARD and INPUT (there in what it answers), at places that it
// has found before them.
bool has_option_to_fill_in(const Packet& packet);

// Every timestamps option (kind 8) of a TCP header, up to where its options are malformed. kMiss:
// there is none.
Edit strip_tcp_timestamps(Packet& packet);

}  // namespace fettle
