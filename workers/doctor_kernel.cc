#include "workers/doctor_kernel.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "workers/kernel_bugs.h"

namespace fettle {
namespace {

// GSO and fail-open flags (NFQA_CFG_FLAGS): linux/netfilter/nfnetlink_queue.h.
constexpr KernelVersion kOldest{3, 10, 0};

Finding judge_version(const HostFacts& facts) {
  const auto version = parse_version(facts.release);
  if (version && *version < kOldest) {
    return {Grade::kBad, "kernel", fmt::format("Linux {}", facts.release),
            "Queues have known super-packets and fail-open since 3.10 only.",
            "apt-get install linux-image-amd64"};
  }
  return {Grade::kOk, "kernel", fmt::format("Linux {}", facts.release)};
}

std::string option(const HostFacts& facts, std::string_view name) {
  return facts.config ? config_value(*facts.config, name) : "";
}

void judge_options(const HostFacts& facts, const DoctorPlan& plan, Findings* out) {
  if (!facts.config) {
    out->push_back({Grade::kSkip, "kernel-options", "this kernel does not tell its options",
                    "Neither /proc/config.gz nor /boot/config-* is there.", "modprobe configs"});
    return;
  }
  const std::string kernel = "apt-get install linux-image-amd64";
  if (option(facts, "CONFIG_NETFILTER_NETLINK_QUEUE").empty()) {
    out->push_back({Grade::kBad, "kernel-options", "NETFILTER_NETLINK_QUEUE is not set",
                    "This kernel has no queues for programs.", kernel});
    return;
  }
  const bool xt = !option(facts, "CONFIG_NETFILTER_XT_TARGET_NFQUEUE").empty();
  const bool nft = !option(facts, "CONFIG_NFT_QUEUE").empty();
  if (!xt && !nft) {
    out->push_back({Grade::kBad, "kernel-options", "neither XT_TARGET_NFQUEUE nor NFT_QUEUE is set",
                    "No firewall rule can feed a queue.", kernel});
    return;
  }
  out->push_back({Grade::kOk, "kernel-options",
                  fmt::format("queues for {}", xt && nft ? "iptables and nft"
                                               : xt ? "iptables (not for nft: NFT_QUEUE is not set)"
                                                    : "nft (not for iptables: "
                                                      "NETFILTER_XT_TARGET_NFQUEUE is not set)")});
  if (plan.needs.streams && option(facts, "CONFIG_NETFILTER_NETLINK_GLUE_CT").empty()) {
    out->push_back(
        {Grade::kWarn, "kernel-options", "NETFILTER_NETLINK_GLUE_CT is not set",
         "No TCP stream that the rules edit may pass the kernel's NAT helpers or SYNPROXY, "
         "too.",
         kernel});
  }
}

bool meets(const KernelBug& bug, const HostFacts& facts, const DoctorPlan& plan) {
  const auto any = [&](bool FirewallRule::*what) {
    return std::ranges::any_of(facts.firewall.rules, what);
  };
  if (bug.needs == BugNeeds::kNoGso) return plan.no_gso;
  if (bug.needs == BugNeeds::kEditedGso) return !plan.no_gso && plan.needs.changes;
  if (bug.needs == BugNeeds::kTemplates) return any(&FirewallRule::attaches);
  return bug.needs != BugNeeds::kNat || any(&FirewallRule::translates);
}

void judge_owner(const QueueFacts& queue, Findings* out) {
  if (queue.fettle) {
    out->push_back(
        {Grade::kOk, "queue-owner", fmt::format("queue {}: {}", queue.queue, queue.owner)});
    return;
  }
  out->push_back(
      {Grade::kBad, "queue-owner", fmt::format("queue {} is taken by {}", queue.queue, queue.owner),
       "A queue has one owner: fettle run is refused it. Or give another --queue-balance.",
       queue.processes.empty() ? "" : fmt::format("kill {}", fmt::join(queue.processes, " "))});
}

void judge_buffer(const HostFacts& facts, Findings* out) {
  if (facts.receive_buffer == 0) {
    out->push_back({Grade::kSkip, "receive-buffer", "no netfilter socket can be opened"});
  } else if (facts.receive_buffer < kWantedBuffer) {
    out->push_back({Grade::kWarn, "receive-buffer",
                    fmt::format("a socket gets {} bytes of the {} that fettle asks for",
                                facts.receive_buffer, kWantedBuffer),
                    "A burst that does not fit is lost, or passes unmended with fail-open.",
                    fmt::format("sysctl -w net.core.rmem_max={}", kWantedBuffer)});
  } else {
    out->push_back({Grade::kOk, "receive-buffer", fmt::format("{} bytes", facts.receive_buffer)});
  }
}

}  // namespace

Findings judge_kernel(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  out.push_back(judge_version(facts));
  judge_options(facts, plan, &out);
  if (facts.queue_module) {
    out.push_back({Grade::kOk, "kernel-module", "nfnetlink_queue is there"});
  } else {
    out.push_back({Grade::kWarn, "kernel-module", "nfnetlink_queue is not loaded",
                   "It is loaded when fettle starts, where it may be.",
                   "modprobe nfnetlink_queue"});
  }
  return out;
}

Findings judge_bugs(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  const auto version = parse_version(facts.release);
  if (!version) {
    return {{Grade::kSkip, "kernel-bugs", fmt::format("\"{}\" is no version", facts.release),
             "Known bugs go by it."}};
  }
  for (const KernelBug& bug : kernel_bugs()) {
    if (!bug.concerns(*version) || !meets(bug, facts, plan)) continue;
    out.push_back({Grade::kWarn, "kernel-bugs", fmt::format("{} ({})", bug.what, bug.source),
                   fmt::format("{}{}", bug.avoid.empty() ? "" : fmt::format("{} ", bug.avoid),
                               "A distribution's kernel may have the fix under this number."),
                   "apt-get update && apt-get upgrade 'linux-image-*'"});
  }
  if (out.empty()) {
    out.push_back({Grade::kOk, "kernel-bugs",
                   fmt::format("none of {} known ones in this version", kernel_bugs().size())});
  }
  return out;
}

Findings judge_queues(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  if (facts.net_admin) {
    out.push_back({Grade::kOk, "capability", "CAP_NET_ADMIN"});
  } else {
    out.push_back(
        {Grade::kBad, "capability", "CAP_NET_ADMIN is missing",
         "Without it no queue can be bound, and no firewall rule looked at.",
         fmt::format(
             "sudo fettle doctor{}{}",
             plan.rules.empty() ? "" : fmt::format(" --rules {}", plan.rules),
             plan.has_queues ? fmt::format(" --queue-balance {}", plan.queue_range()) : "")});
  }
  judge_buffer(facts, &out);
  for (const QueueFacts& queue : facts.queues) {
    if (plan.has_queues) judge_owner(queue, &out);
  }
  return out;
}

}  // namespace fettle
