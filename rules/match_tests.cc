#include "rules/match_tests.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "core/bytes.h"
#include "core/hash.h"
#include "rules/match_words.h"
#include "rules/packet_filter.h"

namespace fettle {
namespace {

// Below this many the processor walks faster than it searches.
constexpr uint32_t kFewRanges = 8;

uint8_t tcp_flags(const Packet& packet) { return load_u8(packet.data + packet.transport + 13); }

template <typename T>
T read(const uint32_t* words) {
  T out;
  std::memcpy(&out, words, sizeof out);
  return out;
}

// Whether one of the sorted ranges in `words` holds the number.
template <typename Number>
bool in_ranges(const uint32_t* words, uint32_t size, Number number) noexcept {
  struct Pair {
    Number low, high;
  };
  constexpr uint32_t kWords = sizeof(Pair) / sizeof(uint32_t);
  const uint32_t count = size / kWords;
  if (count <= kFewRanges) {
    for (uint32_t i = 0; i < count; ++i) {
      const auto range = read<Pair>(words + size_t{i} * kWords);
      if (number - range.low <= range.high - range.low) return true;
    }
    return false;
  }
  uint32_t first = 0;  // the last range that begins at or before the number is in [first, end)
  for (uint32_t end = count; end - first > 1;) {
    const uint32_t middle = first + (end - first) / 2;
    (number >= read<Pair>(words + size_t{middle} * kWords).low ? first : end) = middle;
  }
  const auto range = read<Pair>(words + size_t{first} * kWords);
  return number - range.low <= range.high - range.low;
}

bool in_prefixes(const uint32_t* words, uint32_t size, Family family,
                 const std::byte* at) noexcept {
  const uint32_t narrow = words[0];  // so many words for IPv4, the rest for IPv6
  if (family == Family::kIpv4) return in_ranges(words + 1, narrow, load_be32(at));
  if (family != Family::kIpv6) return false;
  return in_ranges(words + 1 + narrow, size - 1 - narrow, load_wide(at));
}

bool is_masked(const uint32_t* words, uint32_t size, uint32_t number) noexcept {
  for (uint32_t i = 0; i < size; i += 2) {
    if ((number & words[i + 1]) == words[i]) return true;
  }
  return false;
}

bool is_interface(const uint32_t* words, uint32_t size, const InterfaceName& name) noexcept {
  if (name[0] == '\0') return false;
  const auto given = std::bit_cast<std::array<uint64_t, 2>>(name);
  for (uint32_t i = 0; i < size; i += kInterfaceWords) {
    const auto pattern = read<std::array<uint64_t, 4>>(words + i);
    if ((given[0] & pattern[2]) == pattern[0] && (given[1] & pattern[3]) == pattern[1]) return true;
  }
  return false;
}

bool is_icmp(const uint32_t* words, uint32_t size, const Packet& packet) noexcept {
  const bool icmp = packet.is(Protocol::kIcmp);
  if (!packet.has_transport() || (!icmp && !packet.is(Protocol::kIcmpv6))) return false;
  const uint32_t type = load_u8(packet.data + packet.transport);
  const uint32_t code = load_u8(packet.data + packet.transport + 1);
  for (uint32_t i = 0; i < size; i += kIcmpWords) {
    const uint32_t* const types = words + i + (icmp ? 0 : 2);
    const uint32_t* const codes = words + i + 4;
    if (type >= types[0] && type <= types[1] && code >= codes[0] && code <= codes[1]) return true;
  }
  return false;
}

bool is_fragment(const uint32_t* words, uint32_t size, const Packet& packet) noexcept {
  for (uint32_t i = 0; i < size; ++i) {
    switch (static_cast<FragmentKind>(words[i])) {
      case FragmentKind::kAny:
        if (packet.fragment) return true;
        break;
      case FragmentKind::kNone:
        if (!packet.fragment) return true;
        break;
      case FragmentKind::kFirst:
        if (packet.fragment && !packet.later_fragment) return true;
        break;
      case FragmentKind::kLater:
        if (packet.later_fragment) return true;
        break;
    }
  }
  return false;
}

bool has_bytes(const uint32_t* words, uint32_t words_size, const Packet& packet) noexcept {
  for (const uint32_t* const end = words + words_size; words < end;) {
    const auto from = static_cast<Origin>(words[0]);
    const uint32_t at = words[1];
    const uint32_t size = words[2];
    const auto* const value = std::as_bytes(std::span(words + kBytesHeaderWords, 1)).data();
    const std::byte* const mask = value + size;
    words += kBytesHeaderWords + words_for(2 * size);
    uint32_t offset = 0;
    if (!resolve(packet, from, at, &offset)) continue;
    if (offset > packet.size || size > packet.size - offset) continue;
    uint32_t same = 0;
    while (same < size && (packet.data[offset + same] & mask[same]) == value[same]) ++same;
    if (same == size) return true;
  }
  return false;
}

bool has_pattern(const uint32_t* words, uint32_t size, const Packet& packet,
                 PatternScan* scan) noexcept {
  return scan && std::any_of(words, words + size,
                             [&](uint32_t number) { return scan->finds(number, packet); });
}

// Each program stands behind its size.
bool passes_any(const uint32_t* words, uint32_t size, const Packet& packet) noexcept {
  for (const uint32_t* const end = words + size; words < end; words += 1 + words[0]) {
    if (passes_filter(words + 1, packet)) return true;
  }
  return false;
}

bool is_chosen(const uint32_t* words, uint32_t size, const Metadata& metadata) noexcept {
  for (uint32_t i = 0; i < size; i += kChanceWords) {
    if (mix(uint64_t{metadata.draw} + read<uint64_t>(words + i + 1)) >> 32 <= words[i]) return true;
  }
  return false;
}

bool holds(Key key, const uint32_t* any, uint32_t size, const Packet& packet,
           const Metadata& metadata, PatternScan* scan) noexcept {
  switch (key) {
    case Key::kFamily: {
      const Family family = packet.family != Family::kNone ? packet.family : metadata.family;
      return std::find(any, any + size, static_cast<uint32_t>(family)) != any + size;
    }
    case Key::kProtocol:
      return in_ranges(any, size, uint32_t{packet.protocol});
    case Key::kSrc:
      return in_prefixes(any, size, packet.family, packet.src_bytes());
    case Key::kDst:
      return in_prefixes(any, size, packet.family, packet.dst_bytes());
    case Key::kSrcPort:
      return packet.has_ports() && in_ranges(any, size, uint32_t{packet.src_port()});
    case Key::kDstPort:
      return packet.has_ports() && in_ranges(any, size, uint32_t{packet.dst_port()});
    case Key::kPort:
      return packet.has_ports() && (in_ranges(any, size, uint32_t{packet.src_port()}) ||
                                    in_ranges(any, size, uint32_t{packet.dst_port()}));
    case Key::kHook:
      return metadata.hook != Hook::kNone &&
             in_ranges(any, size, static_cast<uint32_t>(metadata.hook));
    case Key::kIn:
      return is_interface(any, size, metadata.in);
    case Key::kOut:
      return is_interface(any, size, metadata.out);
    case Key::kMark:
      return is_masked(any, size, metadata.mark);
    case Key::kTtl:
      return in_ranges(any, size, uint32_t{packet.ttl()});
    case Key::kDscp:
      return in_ranges(any, size, uint32_t{packet.traffic_class()} >> 2);
    case Key::kLength:
      return in_ranges(any, size, packet.length);
    case Key::kTcpFlags:
      return packet.has_transport() && packet.is(Protocol::kTcp) &&
             is_masked(any, size, tcp_flags(packet));
    case Key::kFragment:
      return is_fragment(any, size, packet);
    case Key::kIcmpType:
      return is_icmp(any, size, packet);
    case Key::kBytes:
      return has_bytes(any, size, packet);
    case Key::kPayload:
      return has_pattern(any, size, packet, scan);
    case Key::kFilter:
      return passes_any(any, size, packet);
    case Key::kProbability:
      return is_chosen(any, size, metadata);
  }
  return false;
}

bool all_hold(const uint32_t* at, const uint32_t* end, const Packet& packet,
              const Metadata& metadata, PatternScan* scan) noexcept {
  while (at < end) {
    const uint32_t size = at[1];
    if (!holds(static_cast<Key>(at[0]), at + 2, size, packet, metadata, scan)) return false;
    at += 2 + size;
  }
  return true;
}

// Groups lie one after the other, each behind its size.
bool any_holds(const uint32_t* group, uint32_t count, const Packet& packet,
               const Metadata& metadata, PatternScan* scan) noexcept {
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t* const end = group + 1 + group[0];
    if (all_hold(group + 1, end, packet, metadata, scan)) return true;
    group = end;
  }
  return false;
}

}  // namespace

bool MatchTests::matches(uint32_t rule, const Packet& packet, const Metadata& metadata,
                         PatternScan* scan) const noexcept {
  const uint32_t* const at = words_.data() + starts_[rule];
  const uint32_t* const first = at + kRuleWords;
  const uint32_t* const exceptions = first + 1 + first[0];
  if (at[0] && packet.later_fragment) return false;
  return all_hold(first + 1, exceptions, packet, metadata, scan) &&
         !any_holds(exceptions, at[1] - 1, packet, metadata, scan);
}

bool MatchTests::excepts(uint32_t rule, const Packet& packet, const Metadata& metadata,
                         PatternScan* scan) const noexcept {
  const uint32_t* const at = words_.data() + starts_[rule];
  const uint32_t* const first = at + kRuleWords;
  if (at[0] && packet.later_fragment) return true;
  return any_holds(first + 1 + first[0], at[1] - 1, packet, metadata, scan);
}

}  // namespace fettle
