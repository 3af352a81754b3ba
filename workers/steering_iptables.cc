// A steering plan as rules for iptables-restore and ip6tables-restore.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rules/check.h"
#include "rules/match_tests.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

using Words = std::vector<std::string>;

constexpr size_t kMostRules = 256;   // of one filter; beyond them it asks for less
constexpr uint32_t kMostPorts = 15;  // of one multiport match; a range is two
constexpr uint32_t kMostProtocols = 16;
constexpr uint32_t kHashSeed = 0xfe77;  // HMARK's: another one would move flows that are under way

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

// ---- Targets ----------------------------------------------------------------------------------

std::string queue_target(const SteeringTarget& target, bool bypass) {
  const std::string_view suffix = bypass ? " --queue-bypass" : "";
  if (target.last == target.first)
    return fmt::format("-j NFQUEUE --queue-num {}{}", target.first, suffix);
  return fmt::format("-j NFQUEUE --queue-balance {}:{}{}{}", target.first, target.last, suffix,
                     target.spread == SteeringSpread::kCpu ? " --queue-cpu-fanout" : "");
}

std::string hash_chain(std::string_view chain, bool bypass) {
  return fmt::format("{}{}", chain, bypass ? "-h" : "-H");
}

// Flows by their hash, which HMARK can leave in the packet's mark alone.
std::string hash_rules(const std::string& chain, const SteeringTarget& target, bool bypass) {
  const uint32_t count = target.last - target.first + 1u;
  std::string out = fmt::format(
      "-A {} -j HMARK --hmark-tuple src,dst,sport,dport --hmark-mod {} --hmark-offset 1 "
      "--hmark-rnd {:#x}\n",
      chain, count, kHashSeed);
  for (uint32_t i = 0; i < count; ++i) {
    out += fmt::format("-A {} -m mark --mark {:#x} -j NFQUEUE --queue-num {}{}\n", chain, i + 1,
                       target.first + i, bypass ? " --queue-bypass" : "");
  }
  return out;
}

struct ChainText {
  std::string declared, rules, jumps;
};

bool bypasses(const SteeringPlan& plan, const SteeringTarget& target,
              const SteeringFilter& filter) {
  return target.bypass && !plan.drops_unseen && !filter.must_change;
}

std::string device_words(const SteeringPoint& point) {
  if (point.device.empty()) return "";
  return fmt::format("{} {} ", point.hook == Hook::kPrerouting ? "-i" : "-o", point.device);
}

void add_point(const SteeringPlan& plan, const SteeringTarget& target, const SteeringPoint& point,
               Family family, ChainText* out) {
  const std::string chain = iptables_chain(point, target.name);
  const bool hashes = target.spread == SteeringSpread::kFlow && target.last > target.first;
  std::string rules;
  for (const SteeringFilter& filter : point.filters) {
    const bool bypass = bypasses(plan, target, filter);
    const std::string to =
        hashes ? "-j " + hash_chain(chain, bypass) : queue_target(target, bypass);
    for (const std::string& rule : iptables_rules(filter, family)) {
      rules +=
          fmt::format("-A {} {}{}{}-m comment --comment \"{}\" {}\n", chain, device_words(point),
                      rule, rule.empty() ? "" : " ", steering_comment(filter, 200), to);
    }
  }
  out->declared += fmt::format(":{} - [0:0]\n", chain);
  if (plan.bypass_mark) {
    out->rules += fmt::format("-A {} -m connmark --mark {:#x}/{:#x} -j RETURN\n", chain,
                              plan.bypass_mark->value, plan.bypass_mark->mask);
  }
  for (const bool bypass : {true, false}) {
    const std::string hash = hash_chain(chain, bypass);
    if (!hashes || rules.find("-j " + hash + "\n") == std::string::npos) continue;
    out->declared += fmt::format(":{} - [0:0]\n", hash);
    out->rules += hash_rules(hash, target, bypass);
  }
  out->rules += rules;
}

}  // namespace

std::vector<std::string> iptables_rules(const SteeringFilter& filter, Family family) {
  const Scope scope = scope_of(filter.match);
  if (family == Family::kIpv4 ? !scope.ipv4 : !scope.ipv6) return {};
  std::vector<Words> all;
  for (const Condition& condition : filter.match.all_of)
    all.push_back(alternatives(condition, family));
  limit(&all);
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

std::string_view iptables_hook(Hook hook) {
  constexpr std::string_view kNames[] = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
  return kNames[static_cast<size_t>(hook)];
}

std::string iptables_chain(const SteeringPoint& point, std::string_view name) {
  return fmt::format("{}-{}", name, iptables_hook(point.hook));
}

std::string_view iptables_table(const SteeringPoint& point) {
  return point.early ? "raw" : "mangle";
}

std::string iptables_text(const SteeringPlan& plan, const SteeringTarget& target, Family family,
                          const std::vector<std::string>& jumps) {
  std::map<std::string_view, ChainText> tables;
  const auto jump = [&](std::string_view table, std::string_view hook, const std::string& chain) {
    if (std::ranges::find(jumps, fmt::format("{} {} {}", table, hook, chain)) != jumps.end())
      return;
    tables[table].jumps += fmt::format("-A {} -j {}\n", hook, chain);
  };
  for (const SteeringPoint& point : plan.points) {
    const std::string_view table = iptables_table(point);
    add_point(plan, target, point, family, &tables[table]);
    jump(table, iptables_hook(point.hook), iptables_chain(point, target.name));
  }
  if (plan.bypass_mark) {
    // Not in the queue's own table at the same hook: a packet that it gives back meets no more rule
    // of that.
    for (const auto& [table, hook] :
         {std::pair("mangle", "POSTROUTING"), std::pair("filter", "INPUT")}) {
      const std::string chain = target.name + "-KEEP";
      tables[table].declared += fmt::format(":{} - [0:0]\n", chain);
      tables[table].rules += fmt::format(
          "-A {0} -m mark --mark {1:#x}/{2:#x} -j CONNMARK --save-mark --nfmask {2:#x} --ctmask "
          "{2:#x}\n",
          chain, plan.bypass_mark->value, plan.bypass_mark->mask);
      jump(table, hook, chain);
    }
  }
  std::string out;
  for (const auto& [table, text] : tables)
    out += fmt::format("*{}\n{}{}{}COMMIT\n", table, text.declared, text.rules, text.jumps);
  return out;
}

}  // namespace fettle
