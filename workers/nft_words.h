// What nft's rules ask of a packet: a match's conditions in its words.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "core/packet.h"
#include "rules/rule.h"

namespace fettle {

using NftWords = std::vector<std::string>;  // alternatives: each is what one rule asks

// "a", or "{ a, b }".
std::string nft_set(const NftWords& members);

// For a match of all_of alone: rules that together hold where it does, those of both families in
// one where nothing tells them apart. Each ends with a space where it asks for something. None: no
// packet can match.
NftWords nft_rules_of(const Match& match);
// The same in parts: kNone where nothing tells the families apart.
std::vector<Family> nft_families(const Match& match);
NftWords nft_rules_of(const Match& match, Family family);

// Bytes of a payload of TCP or UDP, or of another place, as one number: "@ih,32,16". Requires
// nft_reaches().
std::string nft_bytes(Origin from, uint32_t at, size_t size);
bool nft_reaches(Origin from, uint32_t at, size_t size);
// What a packet has to be for bytes up to `end` of its payload to be there, as far as nft does not
// see by itself: UDP's own length may end the payload before the packet does.
inline constexpr std::string_view kNftTcpPayload = "meta l4proto tcp ";
std::string nft_udp_payload(uint32_t end);

// A number of so many bytes.
std::string nft_number(const std::vector<std::byte>& bytes);

}  // namespace fettle
