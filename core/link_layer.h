// From a captured frame to the IP packet in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fettle {

// The bytes from the IP header to the end of the frame. Nothing: not IP, a link type that
// is not known, or a frame that ends before its IP header.
// Known: Ethernet (1) with any number of 802.1Q/802.1ad tags and PPPoE sessions (RFC 2516), raw IP
// (12, 14, 101, 228, 229), BSD loopback (0, 108), PPP (9), Linux SLL (113) and SLL2 (276), the tags
// behind an SLL protocol field included.
std::optional<std::span<std::byte>> network_layer(uint32_t link_type, std::span<std::byte> frame);

// Adds to the length that a PPPoE header among the frame's states; the other headers state none.
// `headers`: the frame up to where network_layer() found the packet.
void change_link_length(uint32_t link_type, std::span<std::byte> headers, int64_t change);

}  // namespace fettle
