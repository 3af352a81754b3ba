// A steering plan as rules for iptables-restore and ip6tables-restore.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "workers/iptables_words.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

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
    for (const std::string& rule : iptables_rules_of(filter.match, family)) {
      rules +=
          fmt::format("-A {} {}{}{}-m comment --comment \"{}\" {}\n", chain, device_words(point),
                      rule, rule.empty() ? "" : " ", steering_comment(filter, 200), to);
    }
  }
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
    if (!hashes || rules.find("-j " + hash + "\n") == std::string::npos) continue;
    out->declared += fmt::format(":{} - [0:0]\n", hash);
    out->rules += hash_rules(hash, target, bypass);
  }
  for (const PushedRule& rule : point.pushed) out->rules += rule.by_family[at].jumps;
  out->rules += rules;
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
