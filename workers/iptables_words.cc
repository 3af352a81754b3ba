#include "workers/iptables_words.h"

#include <linux/filter.h>

#include <algorithm>
#include <bit>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rules/check.h"
#include "rules/packet_filter.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

using Words = std::vector<std::string>;

constexpr size_t kMostRules = 256;   // of one filter; beyond them it asks for less
constexpr uint32_t kMostPorts = 15;  // of one multiport match; a range is two
constexpr uint32_t kMostProtocols = 16;

uint32_t size_of(const std::vector<Range>& ranges) {
  uint32_t out = 0;
  for (const Range& range : ranges) out += range.high - range.low + 1;
  return out;
}

// Nothing: too many to name them all.
std::optional<Words> protocols(const Condition& condition) {
  const std::vector<Range> ranges = steering_ranges(condition);
  Words out;
  if (size_of(ranges) == 255) {  // all but one
    uint32_t left_out = 0;
    for (const Range& range : ranges)
      if (range.low <= left_out) left_out = range.high + 1;
    // iptables takes 0 for every protocol.
    if (left_out == 0) return std::nullopt;
    return Words{fmt::format("! -p {}", steering_protocol(left_out))};
  }
  if (size_of(ranges) > kMostProtocols || ranges.front().low == 0) return std::nullopt;
  for (const Range& range : ranges)
    for (uint32_t number = range.low; number <= range.high; ++number)
      out.push_back(fmt::format("-p {}", steering_protocol(number)));
  return out;
}

Words ports(std::string_view option, const Condition& condition) {
  Words out;
  std::string list;
  uint32_t used = 0;
  const auto end = [&] {
    if (used > 0) out.push_back(fmt::format("-m multiport {} {}", option, list));
    list.clear();
    used = 0;
  };
  for (const Range& range : steering_ranges(condition)) {
    const uint32_t size = range.low == range.high ? 1 : 2;
    if (used + size > kMostPorts) end();
    list += (used == 0 ? "" : ",") + (size == 1 ? fmt::format("{}", range.low)
                                                : fmt::format("{}:{}", range.low, range.high));
    used += size;
  }
  end();
  return out;
}

Words prefixes(std::string_view option, const Condition& condition, Family family) {
  Words out;
  for (const Operand& operand : condition.any_of) {
    const auto& prefix = std::get<Prefix>(operand);
    if (prefix.address.family == family)
      out.push_back(fmt::format("{} {}", option, prefix.to_string()));
  }
  return out;
}

Words devices(std::string_view option, const Condition& condition) {
  Words out;
  for (const Operand& operand : condition.any_of)
    out.push_back(
        fmt::format("{} {}", option, steering_device(std::get<InterfacePattern>(operand), '+')));
  return out;
}

Words hops(const Condition& condition, Family family) {
  const std::string_view word = family == Family::kIpv4 ? "ttl" : "hl";
  Words out;
  for (const Range& range : steering_ranges(condition)) {
    std::string rule;
    if (range.low == range.high) {
      rule = fmt::format("-m {0} --{0}-eq {1} ", word, range.low);
    } else {
      if (range.low > 0) rule += fmt::format("-m {0} --{0}-gt {1} ", word, range.low - 1);
      if (range.high < 255) rule += fmt::format("-m {0} --{0}-lt {1} ", word, range.high + 1);
    }
    if (!rule.empty()) rule.pop_back();
    out.push_back(rule);
  }
  return out;
}

Words dscps(const Condition& condition) {
  Words out;
  for (const Range& range : steering_ranges(condition))
    for (uint32_t number = range.low; number <= range.high; ++number)
      out.push_back(fmt::format("-m dscp --dscp {}", number));
  return out;
}

Words marks(const Condition& condition) {
  Words out;
  for (const Operand& operand : condition.any_of) {
    const auto& value = std::get<MaskedValue>(operand);
    out.push_back(fmt::format("-m mark --mark {:#x}/{:#x}", value.value, value.mask));
  }
  return out;
}

std::string flags_of(uint32_t bits) {
  constexpr std::string_view kNames[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"};
  Words out;
  for (size_t i = 0; i < std::size(kNames); ++i)
    if ((bits >> i & 1) != 0) out.emplace_back(kNames[i]);
  return out.empty() ? "NONE" : fmt::format("{}", fmt::join(out, ","));
}

Words flags(const Condition& condition) {
  Words out;
  for (const Operand& operand : condition.any_of) {
    const auto& value = std::get<MaskedValue>(operand);
    out.push_back(fmt::format("--tcp-flags {} {}", flags_of(value.mask), flags_of(value.value)));
  }
  return out;
}

// xt_bpf runs a filter's own program, from the IP header on, as fettle does.
Words filters(const Condition& condition) {
  constexpr size_t kMostInstructions = 64;  // XT_BPF_MAX_NUM_INSTR
  Words out;
  for (const Operand& operand : condition.any_of) {
    const FilterProgram& program = std::get<FilterMatch>(operand).program;
    if (program.size() > kMostInstructions) return {""};
    std::string code = fmt::format("{}", program.size());
    for (const uint64_t word : program) {
      const auto at = std::bit_cast<sock_filter>(word);
      code += fmt::format(",{} {} {} {}", at.code, at.jt, at.jf, at.k);
    }
    out.push_back(fmt::format("-m bpf --bytecode \"{}\"", code));
  }
  return out;
}

Words lengths(const Condition& condition) {
  Words out;
  for (const Range& range : steering_ranges(condition))
    out.push_back(fmt::format("-m length --length {}:{}", range.low, range.high));
  return out;
}

Words icmp_types(const Condition& condition, Family family) {
  const bool wide = family == Family::kIpv6;
  const std::string_view option =
      wide ? "-p icmpv6 -m icmp6 --icmpv6-type" : "-p icmp -m icmp --icmp-type";
  Words out;
  for (const Operand& operand : condition.any_of) {
    const auto& match = std::get<IcmpMatch>(operand);
    const auto& types = wide ? match.icmpv6 : match.icmp;
    if (!types) continue;
    const bool all = match.code.low == 0 && match.code.high == 255;
    for (uint32_t type = types->low; type <= types->high; ++type) {
      if (all) {
        out.push_back(fmt::format("{} {}", option, type));
        continue;
      }
      for (uint32_t code = match.code.low; code <= match.code.high; ++code)
        out.push_back(fmt::format("{} {}/{}", option, type, code));
    }
  }
  return out;
}

// {""}: nothing is asked. None: no packet of the family can match.
Words alternatives(const Condition& condition, Family family) {
  switch (condition.key) {
    case Key::kProtocol:
      return protocols(condition).value_or(Words{""});
    case Key::kSrc:
      return prefixes("-s", condition, family);
    case Key::kDst:
      return prefixes("-d", condition, family);
    case Key::kSrcPort:
      return ports("--sports", condition);
    case Key::kDstPort:
      return ports("--dports", condition);
    case Key::kPort:
      return ports("--ports", condition);
    case Key::kIn:
      return devices("-i", condition);
    case Key::kOut:
      return devices("-o", condition);
    case Key::kMark:
      return marks(condition);
    case Key::kTtl:
      return hops(condition, family);
    case Key::kDscp:
      return dscps(condition);
    case Key::kLength:
      return {fmt::format("-m length --length {}:65535",
                          std::get<Range>(condition.any_of.front()).low)};
    case Key::kTcpFlags:
      return flags(condition);
    case Key::kFilter:
      return filters(condition);
    default:
      return {""};
  }
}

size_t product(const std::vector<Words>& all) {
  size_t out = 1;
  for (const Words& any : all) out = std::min<size_t>(out * any.size(), 1 << 20);
  return out;
}

// The longest lists go first, but the one of protocols, without which no port can be asked for.
void limit(std::vector<Words>* all) {
  while (product(*all) > kMostRules) {
    Words* longest = nullptr;
    for (Words& any : *all) {
      if (any.size() < 2 || any.front().starts_with("-p")) continue;
      if (!longest || any.size() > longest->size()) longest = &any;
    }
    if (!longest) return;
    *longest = {""};
  }
}

Words combined(const std::vector<Words>& all) {
  Words rules{""};
  for (const Words& any : all) {
    Words more;
    for (const std::string& rule : rules)
      for (const std::string& alternative : any)
        more.push_back(rule.empty() || alternative.empty() ? rule + alternative
                                                           : rule + " " + alternative);
    rules = std::move(more);
  }
  std::ranges::sort(rules);
  rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
  return rules;
}

// Nothing: they ask for less than the condition does.
std::optional<Words> exact_alternatives(const Condition& condition, Family family) {
  constexpr uint32_t kFlagsKnown = 0x3f;
  switch (condition.key) {
    case Key::kProtocol:
      return protocols(condition);
    case Key::kIcmpType:
      return icmp_types(condition, family);
    case Key::kLength:
      return lengths(condition);
    case Key::kBytes:
      return std::nullopt;
    case Key::kTcpFlags:
      for (const Operand& operand : condition.any_of)
        if ((std::get<MaskedValue>(operand).mask & ~kFlagsKnown) != 0) return std::nullopt;
      return alternatives(condition, family);
    default:
      return alternatives(condition, family);
  }
}

}  // namespace

std::vector<std::string> iptables_rules_of(const Match& match, Family family) {
  const Scope scope = scope_of(match);
  if (family == Family::kIpv4 ? !scope.ipv4 : !scope.ipv6) return {};
  std::vector<Words> all;
  for (const Condition& condition : match.all_of) all.push_back(alternatives(condition, family));
  limit(&all);
  return combined(all);
}

std::optional<std::vector<std::string>> iptables_exactly(const Match& match, Family family) {
  const Scope scope = scope_of(match);
  if (family == Family::kIpv4 ? !scope.ipv4 : !scope.ipv6) return Words{};
  // Its type says which one.
  const bool icmp =
      std::ranges::find(match.all_of, Key::kIcmpType, &Condition::key) != match.all_of.end();
  const Protocol its = family == Family::kIpv4 ? Protocol::kIcmp : Protocol::kIcmpv6;
  if (icmp && !scope.protocols[static_cast<size_t>(its)]) return Words{};
  std::vector<Words> all;
  for (const Condition& condition : match.all_of) {
    if (icmp && condition.key == Key::kProtocol) continue;
    auto ways = exact_alternatives(condition, family);
    if (!ways) return std::nullopt;
    all.push_back(std::move(*ways));
  }
  if (product(all) > kMostRules) return std::nullopt;
  return combined(all);
}

}  // namespace fettle
