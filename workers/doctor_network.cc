#include "workers/doctor_network.h"

#include <algorithm>

#include <fmt/format.h>

#include "workers/doctor_firewall.h"

namespace fettle {
namespace {

bool on_hook(const HostFacts& facts, const FirewallRule& rule, Hook hook) {
  return std::ranges::any_of(hooks_of(facts.firewall, rule),
                             [&](const FirewallChain& chain) { return chain.hook == hook; });
}

// A rule of the family (nft's inet is both) that takes packets on this hook.
bool takes(const HostFacts& facts, const DoctorPlan& plan, Hook hook, bool ipv6) {
  return std::ranges::any_of(feeding(facts.firewall, plan), [&](const FirewallRule* rule) {
    return rule->family != "bridge" && (ipv6 ? rule->ipv6() : rule->ipv4()) &&
           on_hook(facts, *rule, hook);
  });
}

void judge_bridge_calls(const HostFacts& facts, const DoctorPlan& plan, std::string_view bridge,
                        bool ipv6, Findings* out) {
  const auto rules = feeding(facts.firewall, plan);
  const bool any = std::ranges::any_of(rules, [&](const FirewallRule* rule) {
    return rule->family != "bridge" && (ipv6 ? rule->ipv6() : rule->ipv4());
  });
  const std::optional<int> calls =
      ipv6 ? facts.bridge_calls_ip6tables : facts.bridge_calls_iptables;
  if (!any || calls.value_or(0) != 0) return;
  const bool ports =
      std::ranges::any_of(rules, [](const FirewallRule* rule) { return rule->bridge_port; });
  const std::string key =
      fmt::format("net.bridge.bridge-nf-call-{}", ipv6 ? "ip6tables" : "iptables");
  out->push_back(
      {ports ? Grade::kBad : Grade::kWarn, "bridge",
       fmt::format("{} hands no {} packet to netfilter ({})", bridge, ipv6 ? "IPv6" : "IPv4",
                   calls ? fmt::format("{} is 0", key) : "br_netfilter is not loaded"),
       "What is bridged, not routed, comes to no queue.",
       fmt::format("{}sysctl -w {}=1", calls ? "" : "modprobe br_netfilter && ", key)});
}

void judge_bridges(const HostFacts& facts, const DoctorPlan& plan, Findings* out) {
  std::string names;
  for (const DeviceFacts& device : facts.devices) {
    if (device.bridge) names += (names.empty() ? "" : ", ") + device.name;
  }
  if (names.empty()) return;
  const size_t before = out->size();
  judge_bridge_calls(facts, plan, names, false, out);
  judge_bridge_calls(facts, plan, names, true, out);
  if (out->size() == before) {
    out->push_back(
        {Grade::kOk, "bridge", fmt::format("{}: nothing that a queue waits for", names)});
  }
}

void judge_forwarding(const HostFacts& facts, const DoctorPlan& plan, Findings* out) {
  const bool bridged = std::ranges::any_of(facts.devices, &DeviceFacts::bridge);
  for (const bool ipv6 : {false, true}) {
    const std::optional<int> forwards = ipv6 ? facts.forwards6 : facts.forwards4;
    if (bridged || !forwards || *forwards != 0 || !takes(facts, plan, Hook::kForward, ipv6)) {
      continue;
    }
    out->push_back(
        {Grade::kBad, "forwarding",
         fmt::format("this machine forwards no {} packets", ipv6 ? "IPv6" : "IPv4"),
         "A queue rule in FORWARD never sees one.",
         ipv6 ? "sysctl -w net.ipv6.conf.all.forwarding=1" : "sysctl -w net.ipv4.ip_forward=1"});
  }
}

// A source that the rules have changed is looked up after PREROUTING (net/ipv4/fib_frontend.c:
// fib_validate_source). The stricter of "all" and the device's own counts; 2 is loose.
void judge_source_checks(const HostFacts& facts, const DoctorPlan& plan, Findings* out) {
  if (!plan.moves_addresses || !takes(facts, plan, Hook::kPrerouting, false)) return;
  const int all = facts.rp_filter.value_or(0);
  for (const DeviceFacts& device : facts.devices) {
    if (std::max(all, device.rp_filter.value_or(0)) != 1) continue;
    out->push_back({Grade::kWarn, "source-check",
                    fmt::format("{} drops packets whose source is routed elsewhere (rp_filter 1)",
                                device.name),
                    "The rules change addresses before that check.",
                    "sysctl -w net.ipv4.conf.all.rp_filter=2"});
    return;  // the command is the same for all
  }
}

void judge_receive_offload(const HostFacts& facts, Findings* out) {
  for (const DeviceFacts& device : facts.devices) {
    if (!device.physical) continue;
    if (device.lro.value_or(false)) {
      out->push_back({Grade::kWarn, "receive-offload", fmt::format("LRO is on for {}", device.name),
                      "Packets merged by LRO cannot be forwarded as they came.",
                      fmt::format("ethtool -K {} lro off", device.name)});
    }
    if (!device.gro.value_or(true)) {
      out->push_back({Grade::kWarn, "receive-offload",
                      fmt::format("GRO is off for {}", device.name),
                      "TCP comes packet by packet, at less than half the speed.",
                      fmt::format("ethtool -K {} gro on", device.name)});
    }
  }
}

}  // namespace

Findings judge_network(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  judge_bridges(facts, plan, &out);
  judge_forwarding(facts, plan, &out);
  judge_source_checks(facts, plan, &out);
  judge_receive_offload(facts, &out);
  if (out.empty()) out.push_back({Grade::kOk, "network", "nothing in the way"});
  return out;
}

}  // namespace fettle
