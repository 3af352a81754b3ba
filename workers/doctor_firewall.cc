#include "workers/doctor_firewall.h"

#include <algorithm>

#include <fmt/format.h>

namespace fettle {
namespace {

bool overlaps(const QueueTarget& target, const DoctorPlan& plan) {
  return target.first <= plan.last_queue && target.last >= plan.first_queue;
}

std::string range_of(uint32_t first, uint32_t last) {
  return first == last ? fmt::format("queue {}", first) : fmt::format("queues {}:{}", first, last);
}

// What the rule should say, with all that is found put right, so that each finding of one rule has
// the same command.
QueueTarget corrected(const FirewallRule& rule, const DoctorPlan& plan) {
  QueueTarget target = *rule.queue;
  if (plan.has_queues) {
    target.first = plan.first_queue;
    target.last = plan.last_queue;
  }
  target.bypass = !plan.fail_closed;
  const size_t queues = target.last - target.first + 1;
  if (plan.needs.streams || queues < plan.usable_cpus.size()) target.fanout = false;
  return target;
}

Finding no_rule(const HostFacts& facts, const DoctorPlan& plan) {
  const std::string queues = plan.queue_range();
  Finding finding{Grade::kWarn, "queue-rules",
                  fmt::format("no rule feeds {}", range_of(plan.first_queue, plan.last_queue)),
                  "Packets come to fettle by a firewall rule alone; enter it once fettle runs."};
  const bool one = plan.first_queue == plan.last_queue;
  finding.fix =
      fmt::format("iptables -t mangle -A FORWARD -j NFQUEUE --queue-{} {}{}",
                  one ? "num" : "balance", queues, plan.fail_closed ? "" : " --queue-bypass");
  const bool runs = std::ranges::any_of(facts.queues, &QueueFacts::fettle);
  if (runs) finding.grade = Grade::kBad;
  return finding;
}

void judge_range(const FirewallRule& rule, const DoctorPlan& plan, Findings* out) {
  const QueueTarget& target = *rule.queue;
  if (!plan.has_queues || (target.first == plan.first_queue && target.last == plan.last_queue)) {
    return;
  }
  const bool beyond = target.first < plan.first_queue || target.last > plan.last_queue;
  out->push_back({beyond ? Grade::kBad : Grade::kWarn, "queue-range",
                  fmt::format("{} feeds {}, --queue-balance is {}", describe(rule),
                              range_of(target.first, target.last), plan.queue_range()),
                  beyond ? fmt::format("What it sends to a queue that nobody has bound {}.",
                                       target.bypass ? "passes unmended" : "is dropped")
                         : "Workers whose queue nothing feeds have nothing to do.",
                  command_to_feed(rule, corrected(rule, plan))});
}

void judge_bypass(const FirewallRule& rule, const DoctorPlan& plan, Findings* out) {
  if (plan.fail_closed == !rule.queue->bypass) return;
  if (plan.fail_closed) {
    out->push_back(
        {Grade::kBad, "queue-bypass",
         fmt::format("{} has the bypass flag, and --fail-closed is wanted", describe(rule)),
         "While no fettle runs, packets pass unmended.",
         command_to_feed(rule, corrected(rule, plan))});
  } else {
    out->push_back({Grade::kWarn, "queue-bypass",
                    fmt::format("{} has no bypass flag", describe(rule)),
                    "While no fettle runs, every packet that it matches is dropped.",
                    command_to_feed(rule, corrected(rule, plan))});
  }
}

void judge_fanout(const FirewallRule& rule, const DoctorPlan& plan, Findings* out) {
  const QueueTarget& target = *rule.queue;
  if (!target.fanout || target.first == target.last) return;
  const size_t queues = target.last - target.first + 1;
  const std::string fix = command_to_feed(rule, corrected(rule, plan));
  if (plan.needs.streams) {
    out->push_back(
        {Grade::kBad, "queue-fanout",
         fmt::format("{} spreads by CPU, and the rules edit TCP streams", describe(rule)),
         "The two directions of a connection may come to different workers, and then it "
         "hangs.",
         fix});
  } else if (queues < plan.usable_cpus.size()) {
    out->push_back({Grade::kWarn, "queue-fanout",
                    fmt::format("{} spreads {} queues over {} CPUs", describe(rule), queues,
                                plan.usable_cpus.size()),
                    "CPUs share queues, so a worker runs beside only some of those that feed it.",
                    fix});
  }
}

// A copy of the rule goes in front of what hides it before the old one is deleted: no gap.
std::string command_to_move(const FirewallRule& rule, const FirewallRule& before,
                            const DoctorPlan& plan) {
  if (rule.is_nft() || rule.chain != before.chain) return "";
  FirewallRule copy = rule;
  copy.number = before.number;
  std::string insert = command_to_feed(copy, corrected(rule, plan));
  const size_t at = insert.find(" -R ");
  if (at == std::string::npos) return "";
  insert.replace(at, 4, " -I ");
  copy.number = rule.number + 1;
  return insert + " && " + command_to_delete(copy);
}

void judge_hidden(const Firewall& firewall, const FirewallRule& rule, const DoctorPlan& plan,
                  Findings* out) {
  for (const FirewallRule* before : hiding(firewall, rule)) {
    out->push_back({plan.needs.changes ? Grade::kBad : Grade::kWarn, "hidden-packets",
                    fmt::format("{} accepts known connections before {}", describe(*before),
                                before->chain == rule.chain && !rule.is_nft()
                                    ? fmt::format("rule {}", rule.number)
                                    : describe(rule)),
                    "Only the first packet of each connection comes to the queue.",
                    command_to_move(rule, *before, plan)});
  }
}

std::string summary(const std::vector<const FirewallRule*>& rules) {
  std::string out;
  for (const FirewallRule* rule : rules) {
    const QueueTarget& target = *rule->queue;
    out += fmt::format("{}{} feeds {}{}", out.empty() ? "" : "; ", describe(*rule),
                       range_of(target.first, target.last), target.bypass ? ", bypass" : "");
  }
  return out;
}

// Queues of the range that no rule feeds, where others are fed.
void judge_unfed(const std::vector<const FirewallRule*>& rules, const DoctorPlan& plan,
                 Findings* out) {
  std::string unfed;
  for (uint32_t queue = plan.first_queue; plan.has_queues && queue <= plan.last_queue; ++queue) {
    const bool fed = std::ranges::any_of(rules, [&](const FirewallRule* rule) {
      return rule->queue->first <= queue && queue <= rule->queue->last;
    });
    if (!fed) unfed += fmt::format("{}{}", unfed.empty() ? "" : ", ", queue);
  }
  if (unfed.empty()) return;
  out->push_back({Grade::kWarn, "queue-rules", fmt::format("no rule feeds queue {}", unfed),
                  "A worker waits on it for nothing.",
                  command_to_feed(*rules.front(), corrected(*rules.front(), plan))});
}

void judge_spread(const std::vector<const FirewallRule*>& rules, Findings* out) {
  const bool hashed = std::ranges::any_of(rules, [](const FirewallRule* rule) {
    return rule->queue->last > rule->queue->first && !rule->queue->fanout && !rule->computed_queue;
  });
  if (!hashed) return;
  out->push_back({Grade::kOk, "queue-spread",
                  "by a hash of the addresses: packets of one pair of hosts share one queue"});
}

// A rule that was not checked to its end is worse than none.
bool readable(const HostFacts& facts, Findings* out) {
  for (const std::string& tool : facts.unread) {
    out->push_back({Grade::kSkip, "firewall", tool, "Its rules were not looked at.", ""});
  }
  if (facts.has_iptables || facts.has_nft) return true;
  out->push_back({Grade::kSkip, "firewall", "neither iptables nor nft is installed",
                  "Without either no rule can feed a queue.", "apt-get install iptables"});
  return false;
}

}  // namespace

std::vector<const FirewallRule*> feeding(const Firewall& firewall, const DoctorPlan& plan) {
  std::vector<const FirewallRule*> out;
  for (const FirewallRule& rule : firewall.rules) {
    if (rule.queue && overlaps(*rule.queue, plan)) out.push_back(&rule);
  }
  return out;
}

Findings judge_queue_rules(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  if (!readable(facts, &out)) return out;
  const auto rules = feeding(facts.firewall, plan);
  if (rules.empty()) {
    if (plan.has_queues) out.push_back(no_rule(facts, plan));
    return out;
  }
  out.push_back({Grade::kOk, "queue-rules", summary(rules)});
  judge_unfed(rules, plan, &out);
  judge_spread(rules, &out);
  for (const FirewallRule* rule : rules) {
    judge_range(*rule, plan, &out);
    judge_bypass(*rule, plan, &out);
    judge_fanout(*rule, plan, &out);
    judge_hidden(facts.firewall, *rule, plan, &out);
    if (hooks_of(facts.firewall, *rule).empty()) {
      out.push_back({Grade::kBad, "queue-rules",
                     fmt::format("no chain leads to {}", describe(*rule)),
                     "It never sees a packet.", ""});
    }
  }
  return out;
}

Findings judge_offload(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  const auto rules = feeding(facts.firewall, plan);
  const bool forwarded = std::ranges::any_of(rules, [&](const FirewallRule* rule) {
    return std::ranges::any_of(hooks_of(facts.firewall, *rule), [](const FirewallChain& chain) {
      return chain.hook == Hook::kPrerouting || chain.hook == Hook::kForward ||
             chain.hook == Hook::kPostrouting;
    });
  });
  for (const FirewallRule& rule : facts.firewall.rules) {
    if (!rule.offloads) continue;
    out.push_back({forwarded ? Grade::kBad : Grade::kWarn, "flow-offload",
                   fmt::format("{} puts connections on the {}", describe(rule),
                               rule.hardware ? "network card's fast path" : "kernel's fast path"),
                   "From then on their packets pass by every queue rule; or exempt in front of it "
                   "what is to be queued.",
                   command_to_delete(rule)});
  }
  for (const DeviceFacts& device : facts.devices) {
    if (!device.hardware_offload.value_or(false)) continue;
    out.push_back({Grade::kWarn, "flow-offload",
                   fmt::format("{} may forward in hardware (hw-tc-offload is on)", device.name),
                   "Flows that tc or a flowtable has put there come to no queue.",
                   fmt::format("ethtool -K {} hw-tc-offload off", device.name)});
  }
  if (out.empty()) out.push_back({Grade::kOk, "flow-offload", "nothing takes a shortcut"});
  return out;
}

}  // namespace fettle
