#include "workers/nft_words.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rules/check.h"
#include "rules/match_tests.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

using Words = NftWords;

// Of a payload expression (net/netfilter/nft_payload.c takes an offset of 8 bits; nft's registers
// have 16 bytes).
constexpr uint32_t kFurthestByte = 255;
constexpr size_t kMostBytes = 16;

std::string set_of_ranges(const Condition& condition) {
  const bool named = condition.key == Key::kProtocol;
  Words members;
  for (const Range& range : steering_ranges(condition)) {
    const std::string low = named ? steering_protocol(range.low) : std::to_string(range.low);
    members.push_back(range.low == range.high ? low : fmt::format("{}-{}", range.low, range.high));
  }
  return nft_set(members);
}

// Those of the family; one within another is left out, which nft would refuse.
Words prefixes_of(const Condition& condition, Family family) {
  std::vector<Prefix> all;
  for (const Operand& operand : condition.any_of) {
    const auto& prefix = std::get<Prefix>(operand);
    if (prefix.address.family == family) all.push_back(prefix);
  }
  Words out;
  for (const Prefix& prefix : all) {
    const bool within = std::ranges::any_of(all, [&](const Prefix& other) {
      return other.length < prefix.length && other.contains(prefix.address);
    });
    if (!within) out.push_back(prefix.to_string());
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::string flags_of(uint32_t bits) {
  constexpr std::string_view kNames[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"};
  Words out;
  for (size_t i = 0; i < std::size(kNames); ++i)
    if ((bits >> i & 1) != 0) out.emplace_back(kNames[i]);
  return out.empty() ? "0x0" : fmt::format("{}", fmt::join(out, " | "));
}

// One that every name begins with is not asked for, which nft refuses: a packet too many may come.
Words devices(std::string_view word, const Condition& condition) {
  Words out;
  for (const Operand& operand : condition.any_of) {
    const std::string name = steering_device(std::get<InterfacePattern>(operand), '*');
    if (name == "*") return {""};
    out.push_back(fmt::format("{} \"{}\"", word, name));
  }
  return out;
}

Words masked(std::string_view word, const Condition& condition, bool flags) {
  Words out;
  for (const Operand& operand : condition.any_of) {
    const auto& value = std::get<MaskedValue>(operand);
    if (flags) {
      out.push_back(
          fmt::format("{} & ({}) == {}", word, flags_of(value.mask), flags_of(value.value)));
    } else if (value.mask == ~0u) {
      out.push_back(fmt::format("{} {:#x}", word, value.value));
    } else {
      out.push_back(fmt::format("{} & {:#x} == {:#x}", word, value.mask, value.value));
    }
  }
  return out;
}

bool of_one_family(Key key) {
  return key == Key::kSrc || key == Key::kDst || key == Key::kTtl || key == Key::kDscp ||
         key == Key::kIcmpType;
}

std::string range_text(const Range& range) {
  return range.low == range.high ? std::to_string(range.low)
                                 : fmt::format("{}-{}", range.low, range.high);
}

Words lengths(const Condition& condition) {
  const std::vector<Range> ranges = steering_ranges(condition);
  if (ranges.size() == 1 && ranges.front().high == 65'535)
    return {fmt::format("meta length >= {}", ranges.front().low)};
  return {fmt::format("meta length {}", set_of_ranges(condition))};
}

// Not "icmp type", which nft takes for a contradiction behind "meta l4proto { icmp, icmpv6 }".
Words icmp_types(const Condition& condition, Family family) {
  const std::string_view icmp =
      family == Family::kIpv4 ? "ipv4 meta l4proto icmp" : "ipv6 meta l4proto icmpv6";
  Words out;
  for (const Operand& operand : condition.any_of) {
    const auto& match = std::get<IcmpMatch>(operand);
    const auto& types = family == Family::kIpv4 ? match.icmp : match.icmpv6;
    if (!types) continue;
    std::string one = fmt::format("meta nfproto {} @th,0,8 {}", icmp, range_text(*types));
    if (match.code.low > 0 || match.code.high < 255)
      one += fmt::format(" @th,8,8 {}", range_text(match.code));
    out.push_back(std::move(one));
  }
  return out;
}

Words bytes(const Condition& condition) {
  Words out;
  for (const Operand& operand : condition.any_of) {
    const auto& match = std::get<BytesMatch>(operand);
    const std::string asked =
        fmt::format("{} & {} == {}", nft_bytes(match.from, match.at, match.value.size()),
                    nft_number(match.mask), nft_number(match.value));
    if (match.from != Origin::kPayload) {
      out.push_back(asked);
      continue;
    }
    const auto end = static_cast<uint32_t>(match.at + match.value.size());
    out.push_back(std::string(kNftTcpPayload) + asked);
    out.push_back(nft_udp_payload(end) + asked);
  }
  return out;
}

// What rules for packets of this family ask; none: no such packet can match.
Words alternatives(const Condition& condition, Family family) {
  const std::string_view ip = family == Family::kIpv4 ? "ip" : "ip6";
  const auto addresses = [&](std::string_view word) {
    const Words prefixes = prefixes_of(condition, family);
    return prefixes.empty() ? Words{} : Words{fmt::format("{} {} {}", ip, word, nft_set(prefixes))};
  };
  const auto numbers = [&](std::string_view word) {
    return fmt::format("{} {}", word, set_of_ranges(condition));
  };
  switch (condition.key) {
    case Key::kFamily:
      return {fmt::format("meta nfproto {}", family == Family::kIpv4 ? "ipv4" : "ipv6")};
    case Key::kProtocol:
      return {numbers("meta l4proto")};
    case Key::kSrc:
      return addresses("saddr");
    case Key::kDst:
      return addresses("daddr");
    case Key::kSrcPort:
      return {numbers("th sport")};
    case Key::kDstPort:
      return {numbers("th dport")};
    case Key::kPort:
      return {numbers("th sport"), numbers("th dport")};
    case Key::kIn:
      return devices("iifname", condition);
    case Key::kOut:
      return devices("oifname", condition);
    case Key::kMark:
      return masked("meta mark", condition, false);
    case Key::kTtl:
      return {numbers(family == Family::kIpv4 ? "ip ttl" : "ip6 hoplimit")};
    case Key::kDscp:
      return {numbers(fmt::format("{} dscp", ip))};
    case Key::kLength:
      return lengths(condition);
    case Key::kIcmpType:
      return icmp_types(condition, family);
    case Key::kBytes:
      return bytes(condition);
    case Key::kTcpFlags:
      return masked("tcp flags", condition, true);
    default:
      return {""};
  }
}

}  // namespace

std::vector<Family> nft_families(const Match& match) {
  const Scope scope = scope_of(match);
  const bool apart = std::ranges::any_of(match.all_of, of_one_family, &Condition::key);
  if (!apart && scope.ipv4 && scope.ipv6) return {Family::kNone};
  std::vector<Family> out;
  if (scope.ipv4) out.push_back(Family::kIpv4);
  if (scope.ipv6) out.push_back(Family::kIpv6);
  return out;
}

NftWords nft_rules_of(const Match& match, Family family) {
  const bool either = family == Family::kNone;
  Words rules{""};
  for (const Condition& condition : match.all_of) {
    if (either && condition.key == Key::kFamily) continue;
    Words more;
    for (const std::string& alternative : alternatives(condition, either ? Family::kIpv4 : family))
      for (const std::string& rule : rules)
        more.push_back(rule + alternative + (alternative.empty() ? "" : " "));
    rules = std::move(more);
  }
  return rules;
}

NftWords nft_rules_of(const Match& match) {
  Words out;
  for (const Family family : nft_families(match)) {
    Words rules = nft_rules_of(match, family);
    out.insert(out.end(), rules.begin(), rules.end());
  }
  return out;
}

std::string nft_set(const NftWords& members) {
  return members.size() == 1 ? members.front() : fmt::format("{{ {} }}", fmt::join(members, ", "));
}

std::string nft_bytes(Origin from, uint32_t at, size_t size) {
  const std::string_view base = from == Origin::kNetwork     ? "nh"
                                : from == Origin::kTransport ? "th"
                                                             : "ih";
  return fmt::format("@{},{},{}", base, at * 8, size * 8);
}

std::string nft_udp_payload(uint32_t end) {
  // Not "udp length", which nft takes for a contradiction behind "meta l4proto { tcp, udp }".
  return fmt::format("meta l4proto udp @th,32,16 >= {} ", 8 + end);
}

bool nft_reaches(Origin from, uint32_t at, size_t size) {
  const bool known =
      from == Origin::kNetwork || from == Origin::kTransport || from == Origin::kPayload;
  return known && at <= kFurthestByte && size <= kMostBytes;
}

std::string nft_number(const std::vector<std::byte>& bytes) {
  std::string out = "0x";
  for (const std::byte byte : bytes) out += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return out;
}

}  // namespace fettle
