// A steering plan as nft's commands.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/stream_segment.h"
#include "rules/check.h"
#include "rules/match_tests.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

using Words = std::vector<std::string>;  // alternatives: each is what one rule asks

std::string set_of(const Words& members) {
  return members.size() == 1 ? members.front() : fmt::format("{{ {} }}", fmt::join(members, ", "));
}

std::string set_of_ranges(const Condition& condition) {
  const bool named = condition.key == Key::kProtocol;
  Words members;
  for (const Range& range : steering_ranges(condition)) {
    const std::string low = named ? steering_protocol(range.low) : std::to_string(range.low);
    members.push_back(range.low == range.high ? low : fmt::format("{}-{}", range.low, range.high));
  }
  return set_of(members);
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
  return key == Key::kSrc || key == Key::kDst || key == Key::kTtl || key == Key::kDscp;
}

// What rules for packets of this family ask; none: no such packet can match.
Words alternatives(const Condition& condition, Family family) {
  const std::string_view ip = family == Family::kIpv4 ? "ip" : "ip6";
  const auto addresses = [&](std::string_view word) {
    const Words prefixes = prefixes_of(condition, family);
    return prefixes.empty() ? Words{} : Words{fmt::format("{} {} {}", ip, word, set_of(prefixes))};
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
      return {fmt::format("meta length >= {}", std::get<Range>(condition.any_of.front()).low)};
    case Key::kTcpFlags:
      return masked("tcp flags", condition, true);
    default:
      return {""};
  }
}

void add_rules(const SteeringFilter& filter, Family family, bool either, Words* out) {
  Words rules{""};
  for (const Condition& condition : filter.match.all_of) {
    if (either && condition.key == Key::kFamily) continue;
    Words more;
    for (const std::string& alternative : alternatives(condition, family))
      for (const std::string& rule : rules)
        more.push_back(rule + alternative + (alternative.empty() ? "" : " "));
    rules = std::move(more);
  }
  out->insert(out->end(), rules.begin(), rules.end());
}

// What the rules of a filter ask, those of both families in one where nothing tells them apart.
Words rules_of(const SteeringFilter& filter) {
  const Scope scope = scope_of(filter.match);
  const bool apart = std::ranges::any_of(filter.match.all_of, of_one_family, &Condition::key);
  Words out;
  if (!apart && scope.ipv4 && scope.ipv6) {
    add_rules(filter, Family::kIpv4, true, &out);
    return out;
  }
  if (scope.ipv4) add_rules(filter, Family::kIpv4, false, &out);
  if (scope.ipv6) add_rules(filter, Family::kIpv6, false, &out);
  return out;
}

std::string queue_statement(const SteeringTarget& target, bool bypass) {
  const bool several = target.last > target.first;
  const bool fanout = several && target.spread == SteeringSpread::kCpu;
  Words flags;
  if (bypass) flags.emplace_back("bypass");
  if (fanout) flags.emplace_back("fanout");
  std::string out = "queue ";
  if (!flags.empty()) out += fmt::format("flags {} ", fmt::join(flags, ","));
  if (!several) return out + fmt::format("to {}", target.first);
  if (target.spread == SteeringSpread::kFlow)
    return out +
           fmt::format("to symhash mod {} offset {}", target.last - target.first + 1, target.first);
  return out + fmt::format("to {}-{}", target.first, target.last);
}

std::string chain_spec(const SteeringPoint& point) {
  return fmt::format("{{ type filter hook {} priority {}; policy accept; }}", hook_name(point.hook),
                     point.early ? -300 : -150);
}

std::string device_words(const SteeringPoint& point) {
  if (point.device.empty()) return "";
  return fmt::format("{} \"{}\" ", point.hook == Hook::kPrerouting ? "iifname" : "oifname",
                     point.device);
}

// The mark that fettle gives back becomes the connection's, behind the queue.
void keep_bypass_mark(const SteeringPlan& plan, std::string_view table, std::string* out) {
  const MaskedValue& mark = *plan.bypass_mark;
  for (const std::string_view hook : {"input", "postrouting"}) {
    *out += fmt::format(
        "add chain inet {0} keep_{1} {{ type filter hook {1} priority -140; policy accept; }}\n"
        "flush chain inet {0} keep_{1}\n"
        "add rule inet {0} keep_{1} meta mark & {3:#x} == {2:#x} ct mark set ct mark & {4:#x} | "
        "{2:#x} "
        "comment \"flows that are done with\"\n",
        table, hook, mark.value, mark.mask, ~mark.mask);
  }
}

}  // namespace

std::string nft_chain(const SteeringPoint& point) {
  return std::string(hook_name(point.hook)) + (point.early ? "_raw" : "");
}

std::string nft_text(const SteeringPlan& plan, const SteeringTarget& target) {
  std::string out = fmt::format("add table inet {}\n", target.name);
  for (const SteeringPoint& point : plan.points) {
    const std::string chain = fmt::format("inet {} {}", target.name, nft_chain(point));
    out += fmt::format("add chain {0} {1}\nflush chain {0}\n", chain, chain_spec(point));
    if (plan.bypass_mark) {
      out += fmt::format(
          "add rule {} ct mark & {:#x} == {:#x} counter return comment \"flows that are done "
          "with\"\n",
          chain, plan.bypass_mark->mask, plan.bypass_mark->value);
    }
    for (const SteeringFilter& filter : point.filters) {
      const bool bypass = target.bypass && !plan.drops_unseen && !filter.must_change;
      for (const std::string& rule : rules_of(filter)) {
        out +=
            fmt::format("add rule {} {}{}counter {} comment \"{}\"\n", chain, device_words(point),
                        rule, queue_statement(target, bypass), steering_comment(filter, 100));
      }
    }
  }
  if (plan.bypass_mark) keep_bypass_mark(plan, target.name, &out);
  return out;
}

}  // namespace fettle
