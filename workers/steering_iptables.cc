// A steering plan as rules for iptables-restore and ip6tables-restore.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "workers/iptables_words.h"
#include "workers/steering_chains.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

constexpr size_t kFewRules = 8;              // of a point, met one after another
constexpr size_t kMostRules = 32'768;        // of a point, divided; what is beyond is not
constexpr size_t kMostRulesOfFilter = 1024;  // divided
constexpr uint32_t kHashSeed = 0xfe77;  // HMARK's: another one would move flows that are under way

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

bool bypasses(const SteeringPlan& plan, const SteeringTarget& target,
              const SteeringFilter& filter) {
  return target.bypass && !plan.drops_unseen && !filter.must_change;
}

std::string device_words(const SteeringPoint& point) {
  if (point.device.empty()) return "";
  return fmt::format("{} {} ", point.hook == Hook::kPrerouting ? "-i" : "-o", point.device);
}

// What asks for the same filters, in as many rules, of which each packet meets few. They are of one
// target.
void add_divided(const std::vector<const SteeringFilter*>& filters, const SteeringPoint& point,
                 Family family, const std::string& chain, const std::string& to, ChainText* out) {
  std::vector<DividedRule> rules;
  for (const SteeringFilter* filter : filters) {
    const size_t most = rules.size() < kMostRules ? kMostRulesOfFilter : 0;
    const std::string target =
        fmt::format("-m comment --comment \"{}\" {}", steering_comment(*filter, 200), to);
    for (DividedRule& rule : divided_rules_of(filter->match, family, target, most))
      rules.push_back(std::move(rule));
  }
  add_in_chains(rules, chain, device_words(point), out);
}

void add_filters(const SteeringPlan& plan, const SteeringTarget& target, const SteeringPoint& point,
                 Family family, ChainText* out) {
  const std::string chain = iptables_chain(point, target.name);
  const bool hashes = target.spread == SteeringSpread::kFlow && target.last > target.first;
  size_t count = 0;
  for (const SteeringFilter& filter : point.filters)
    count += iptables_rules_of(filter.match, family).size();
  // Of two filters that match, what the first one says of an unread queue counts: those that let no
  // packet pass stand before the others.
  for (const bool bypass : {false, true}) {
    const std::string to =
        hashes ? "-j " + hash_chain(chain, bypass) : queue_target(target, bypass);
    std::vector<const SteeringFilter*> filters;
    for (const SteeringFilter& filter : point.filters)
      if (bypasses(plan, target, filter) == bypass) filters.push_back(&filter);
    if (count > kFewRules) {
      add_divided(filters, point, family, chain, to, out);
      continue;
    }
    for (const SteeringFilter* filter : filters) {
      for (const std::string& rule : iptables_rules_of(filter->match, family)) {
        out->rules +=
            fmt::format("-A {} {}{}{}-m comment --comment \"{}\" {}\n", chain, device_words(point),
                        rule, rule.empty() ? "" : " ", steering_comment(*filter, 200), to);
      }
    }
  }
}

void add_point(const SteeringPlan& plan, const SteeringTarget& target, const SteeringPoint& point,
               Family family, ChainText* out) {
  const std::string chain = iptables_chain(point, target.name);
  const bool hashes = target.spread == SteeringSpread::kFlow && target.last > target.first;
  ChainText filters{.declared = {}, .rules = {}, .jumps = {}, .numbered = out->numbered};
  add_filters(plan, target, point, family, &filters);
  out->numbered = filters.numbered;
  const std::string declared = fmt::format(":{} - [0:0]\n", chain);
  if (out->declared.find(declared) == std::string::npos) out->declared += declared;
  const size_t at = family == Family::kIpv4 ? 0 : 1;
  for (const PushedRule& rule : point.pushed) {
    out->declared += rule.by_family[at].chains;
    out->rules += rule.by_family[at].rules;
  }
  if (plan.bypass_mark) {
    out->rules += fmt::format("-A {} -m connmark --mark {:#x}/{:#x} -j RETURN\n", chain,
                              plan.bypass_mark->value, plan.bypass_mark->mask);
  }
  for (const bool bypass : {true, false}) {
    const std::string hash = hash_chain(chain, bypass);
    if (!hashes || filters.rules.find("-j " + hash + "\n") == std::string::npos) continue;
    out->declared += fmt::format(":{} - [0:0]\n", hash);
    out->rules += hash_rules(hash, target, bypass);
  }
  for (const PushedRule& rule : point.pushed) out->rules += rule.by_family[at].jumps;
  out->declared += filters.declared;
  out->rules += filters.rules;
}

}  // namespace

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
