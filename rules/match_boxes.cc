#include "rules/match_boxes.h"

#include <algorithm>
#include <bit>
#include <initializer_list>
#include <span>
#include <utility>

#include "core/bytes.h"
#include "core/hash.h"
#include "rules/match_tests.h"

namespace fettle {
namespace {

uint32_t hash_of(const InterfaceName& name) {
  const auto words = std::bit_cast<std::array<uint64_t, 2>>(name);
  return static_cast<uint32_t>(mix(words[0] ^ std::rotl(words[1], 17)));
}

uint32_t first_letters(const InterfaceName& name) {
  return load_be32(std::as_bytes(std::span(name)).data());
}

// ---- One alternative of a condition -----------------------------------------------------------

struct Constraint {
  Dimension dimension;
  Interval interval;
};
// All of them hold: of an address up to four.
struct Alternative {
  std::array<Constraint, 4> all{};
  uint32_t count = 0;
  Families decides = 0;
  Families admits = kBothBits;

  void add(Dimension dimension, Interval interval) {
    if (!interval.everything()) all[count++] = {dimension, interval};
  }
  const Constraint* find(Dimension dimension) const {
    const auto* end = all.data() + count;
    const auto* at = std::find_if(all.data(), end, [&](const Constraint& constraint) {
      return constraint.dimension == dimension;
    });
    return at == end ? nullptr : at;
  }
};
using Alternatives = std::vector<Alternative>;

Alternative prefix_alternative(const Prefix& prefix, const std::array<Dimension, 4>& words) {
  Alternative out;
  for (uint32_t i = 0; i < prefix.address.size() / 4; ++i) {
    const uint32_t bits = std::clamp(int{prefix.length} - static_cast<int>(i * 32), 0, 32);
    const uint32_t low = load_be32(prefix.address.bytes.data() + size_t{i} * 4);
    out.add(words[i], {low, low | static_cast<uint32_t>((uint64_t{1} << (32 - bits)) - 1)});
  }
  const bool narrow = prefix.address.family == Family::kIpv4;
  out.admits = narrow ? kIpv4Bit : kIpv6Bit;
  if (narrow || prefix.length <= 64) out.decides = out.admits;
  return out;
}

Alternative interface_alternative(const InterfacePattern& pattern, Dimension whole,
                                  Dimension letters) {
  Alternative out;
  if (std::ranges::find(pattern.mask, '\0') == pattern.mask.end())
    out.add(whole, {hash_of(pattern.name), hash_of(pattern.name)});
  const uint32_t low = first_letters(pattern.name);
  out.add(letters, {low, low | ~first_letters(pattern.mask)});
  return out;
}

constexpr std::array kSrc{Dimension::kSrc0, Dimension::kSrc1, Dimension::kSrc2, Dimension::kSrc3};
constexpr std::array kDst{Dimension::kDst0, Dimension::kDst1, Dimension::kDst2, Dimension::kDst3};

// Of operands that are no ranges.
Alternative alternative_of(Key key, const Operand& operand) {
  Alternative out;
  if (const auto* prefix = std::get_if<Prefix>(&operand)) {
    return prefix_alternative(*prefix, key == Key::kSrc ? kSrc : kDst);
  }
  if (const auto* name = std::get_if<InterfacePattern>(&operand)) {
    return key == Key::kIn ? interface_alternative(*name, Dimension::kIn, Dimension::kInLetters)
                           : interface_alternative(*name, Dimension::kOut, Dimension::kOutLetters);
  }
  if (const auto* family = std::get_if<Family>(&operand)) {
    out.add(Dimension::kFamily, {static_cast<uint32_t>(*family), static_cast<uint32_t>(*family)});
    out.decides = out.admits = *family == Family::kIpv4 ? kIpv4Bit : kIpv6Bit;
  }
  const auto* masked = std::get_if<MaskedValue>(&operand);
  // A mask of leading bits makes an interval, as of an address.
  if (masked && key == Key::kMark && (masked->mask | (masked->mask - 1)) == ~uint32_t{0}) {
    out.add(Dimension::kMark, {masked->value, masked->value | ~masked->mask});
  }
  return out;
}

Alternatives range_alternatives(const Condition& condition,
                                std::initializer_list<Dimension> dimensions, uint32_t base = 0) {
  std::vector<Range> ranges;
  for (const Operand& operand : condition.any_of) ranges.push_back(std::get<Range>(operand));
  ranges = merged(std::move(ranges));
  Alternatives out;
  for (const Dimension dimension : dimensions) {
    for (const Range& range : ranges) {
      out.emplace_back().add(dimension, {range.low + base, range.high + base});
      if (dimension < Dimension::kScreened) out.back().decides = kBothBits;
    }
  }
  return out;
}

// None of them holds: neither does the condition. A single one that says nothing: it may hold.
Alternatives alternatives_of(const Condition& condition) {
  switch (condition.key) {
    case Key::kProtocol:
      return range_alternatives(condition, {Dimension::kProtocol});
    case Key::kSrcPort:
      return range_alternatives(condition, {Dimension::kSrcPort}, kPortBase);
    case Key::kDstPort:
      return range_alternatives(condition, {Dimension::kDstPort}, kPortBase);
    case Key::kPort:
      return range_alternatives(condition, {Dimension::kSrcPort, Dimension::kDstPort}, kPortBase);
    case Key::kTtl:
      return range_alternatives(condition, {Dimension::kTtl});
    case Key::kDscp:
      return range_alternatives(condition, {Dimension::kDscp});
    case Key::kLength:
      return range_alternatives(condition, {Dimension::kLength});
    case Key::kHook:
      return range_alternatives(condition, {Dimension::kHook});
    default:
      break;
  }
  Alternatives out;
  for (const Operand& operand : condition.any_of) {
    out.push_back(alternative_of(condition.key, operand));
    if (out.back().count == 0 && out.back().admits == kBothBits) return {Alternative{}};
  }
  return out;
}

// What holds wherever either does.
Alternative hull(const Alternative& a, const Alternative& b) {
  Alternative out;
  out.admits = a.admits | b.admits;
  for (uint32_t i = 0; i < a.count; ++i) {
    const Constraint& mine = a.all[i];
    const Constraint* other = b.find(mine.dimension);
    if (!other) continue;
    out.add(mine.dimension, {std::min(mine.interval.low, other->interval.low),
                             std::max(mine.interval.high, other->interval.high)});
  }
  return out;
}

// So many at most, each the hull of neighbours.
Alternatives reduced(Alternatives all, size_t most) {
  if (all.size() <= most) return all;
  std::ranges::sort(all, {}, [](const Alternative& alternative) {
    const Constraint& first = alternative.all[0];
    return std::pair(first.dimension, first.interval.low);
  });
  const size_t size = (all.size() + most - 1) / most;
  Alternatives out;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % size == 0) {
      out.push_back(all[i]);
    } else {
      out.back() = hull(out.back(), all[i]);
    }
  }
  const bool wild = std::ranges::find(out, 0u, &Alternative::count) != out.end();
  return wild ? Alternatives{Alternative{}} : out;
}

std::vector<Alternatives> conditions_of(const Match& match) {
  std::vector<Alternatives> out;
  for (const Condition& condition : match.all_of) out.push_back(alternatives_of(condition));
  return out;
}

size_t product(const std::vector<Alternatives>& conditions) {
  constexpr size_t kMany = size_t{1} << 40;
  size_t out = 1;
  for (const Alternatives& any : conditions) out = std::min(kMany, out * any.size());
  return out;
}

// Shortens the longest lists until all combinations are `most` or fewer.
void limit(std::vector<Alternatives>& conditions, size_t most) {
  while (product(conditions) > most) {
    Alternatives& longest = *std::ranges::max_element(conditions, {}, &Alternatives::size);
    const size_t others = std::max<size_t>(1, product(conditions) / longest.size());
    const size_t fits = std::max<size_t>(1, most / others);
    longest = reduced(std::move(longest), std::min(fits, longest.size() - 1));
  }
}

using Box = std::array<Interval, kDimensions>;

// False: no packet lies in both.
bool narrow(Box& box, const Alternative& alternative) {
  for (uint32_t i = 0; i < alternative.count; ++i) {
    Interval& mine = box[static_cast<size_t>(alternative.all[i].dimension)];
    mine.low = std::max(mine.low, alternative.all[i].interval.low);
    mine.high = std::min(mine.high, alternative.all[i].interval.high);
    if (mine.low > mine.high) return false;
  }
  return true;
}

}  // namespace

size_t MatchBoxes::count(const Match& match) { return product(conditions_of(match)); }

void MatchBoxes::add(const Match& match, size_t most) {
  std::vector<Alternatives> conditions = conditions_of(match);
  limit(conditions, most);
  const size_t combinations = product(conditions);
  for (size_t combination = 0; combination < combinations; ++combination) {
    Box box{};
    size_t left = combination;
    Families decides = kBothBits;
    Families admits = kBothBits;
    const bool possible = std::ranges::all_of(conditions, [&](const Alternatives& any) {
      const Alternative& one = any[std::exchange(left, left / any.size()) % any.size()];
      decides &= one.decides;
      admits &= one.admits;
      return admits != 0 && narrow(box, one);
    });
    if (possible) put(box, decides, admits);
  }
  first_.push_back(size());
  excepts_.push_back(!match.none_of.empty());
}

void MatchBoxes::put(const Box& box, Families decides, Families admits) {
  for (size_t i = 0; i < kDimensions; ++i) {
    if (intervals_[i].empty() && box[i].everything()) continue;
    intervals_[i].resize(rule_.size());
    intervals_[i].push_back(box[i]);
  }
  rule_.push_back(rules());
  decides_.push_back(decides);
  admits_.push_back(admits);
}

ScreenedNumbers screened_numbers(const Packet& packet, const Metadata& metadata) noexcept {
  ScreenedNumbers out{};
  const auto set = [&](Dimension dimension, uint32_t number) {
    out[static_cast<size_t>(dimension)] = number;
  };
  set(Dimension::kIn, hash_of(metadata.in));
  if (packet.data == nullptr) return out;
  const bool wide = packet.family == Family::kIpv6;
  const std::byte* const src = packet.src_bytes();
  const std::byte* const dst = packet.dst_bytes();
  const uint32_t second = wide ? ~uint32_t{0} : 0;
  set(Dimension::kSrc0, load_be32(src));
  set(Dimension::kDst0, load_be32(dst));
  set(Dimension::kSrc1, load_be32(src + (second & 4)) & second);
  set(Dimension::kDst1, load_be32(dst + (second & 4)) & second);
  set(Dimension::kProtocol, packet.protocol);
  if (packet.has_ports()) {
    set(Dimension::kSrcPort, kPortBase + packet.src_port());
    set(Dimension::kDstPort, kPortBase + packet.dst_port());
  }
  return out;
}

uint32_t other_number(Dimension dimension, const Packet& packet,
                      const Metadata& metadata) noexcept {
  const auto word = [&](const std::byte* address, uint32_t at) {
    return packet.family == Family::kIpv6 ? load_be32(address + at) : 0;
  };
  switch (dimension) {
    case Dimension::kOut:
      return hash_of(metadata.out);
    case Dimension::kInLetters:
      return first_letters(metadata.in);
    case Dimension::kOutLetters:
      return first_letters(metadata.out);
    case Dimension::kMark:
      return metadata.mark;
    case Dimension::kHook:
      return static_cast<uint32_t>(metadata.hook);
    case Dimension::kLength:
      return packet.length;
    case Dimension::kFamily:
      return static_cast<uint32_t>(packet.family != Family::kNone ? packet.family
                                                                  : metadata.family);
    default:
      break;
  }
  if (packet.data == nullptr) return 0;
  switch (dimension) {
    case Dimension::kSrc2:
      return word(packet.src_bytes(), 8);
    case Dimension::kDst2:
      return word(packet.dst_bytes(), 8);
    case Dimension::kSrc3:
      return word(packet.src_bytes(), 12);
    case Dimension::kDst3:
      return word(packet.dst_bytes(), 12);
    case Dimension::kTtl:
      return packet.ttl();
    case Dimension::kDscp:
      return uint32_t{packet.traffic_class()} >> 2;
    default:
      return 0;
  }
}

}  // namespace fettle
