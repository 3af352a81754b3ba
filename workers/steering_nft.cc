// A steering plan as nft's commands.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "workers/nft_sets.h"
#include "workers/nft_words.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

std::string queue_statement(const SteeringTarget& target, bool bypass) {
  const bool several = target.last > target.first;
  const bool fanout = several && target.spread == SteeringSpread::kCpu;
  NftWords flags;
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
    out += fmt::format("add chain inet {0} {1} {2}\nflush chain inet {0} {1}\n", target.name,
                       nft_chain(point), chain_spec(point));
    for (const PushedRule& rule : point.pushed) out += rule.by_family[0].chains;
  }
  for (const SteeringPoint& point : plan.points) {
    const std::string chain = fmt::format("inet {} {}", target.name, nft_chain(point));
    for (const PushedRule& rule : point.pushed) out += rule.by_family[0].rules;
    if (plan.bypass_mark) {
      out += fmt::format(
          "add rule {} ct mark & {:#x} == {:#x} counter return comment \"flows that are done "
          "with\"\n",
          chain, plan.bypass_mark->mask, plan.bypass_mark->value);
    }
    for (const PushedRule& rule : point.pushed) out += rule.by_family[0].jumps;
    // Of two filters that match, what the first one says of an unread queue counts: those that let
    // no packet pass stand before the others.
    for (const bool bypass : {false, true}) {
      std::vector<const SteeringFilter*> filters;
      for (const SteeringFilter& filter : point.filters)
        if ((target.bypass && !plan.drops_unseen && !filter.must_change) == bypass)
          filters.push_back(&filter);
      for (const NftRule& rule : nft_rules_in_sets(filters)) {
        out += fmt::format("add rule {} {}{}counter {} comment \"{}\"\n", chain,
                           device_words(point), rule.asked, queue_statement(target, bypass),
                           steering_comment({{}, rule.names, false}, 100));
      }
    }
  }
  if (plan.bypass_mark) keep_bypass_mark(plan, target.name, &out);
  return out;
}

}  // namespace fettle
