#include "workers/doctor_tune.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "workers/doctor_cpus.h"
#include "workers/doctor_firewall.h"
#include "workers/shell_words.h"

namespace fettle {
namespace {

using Scope = Tuning::Scope;

constexpr int kBacklog = 10'000;  // ten times the default
constexpr int kBudget = 600;      // twice the default
constexpr int kBudgetUsecs = 8000;
constexpr uint64_t kOften = 10;    // a tenth of the packets come in rounds that end too early
constexpr int kMostInABucket = 4;  // connections; each stands in two

std::string documented(std::string_view where) {
  return fmt::format("by the kernel's documentation ({}); not measured with fettle", where);
}

std::string sysctl(std::string_view key, auto value) {
  return fmt::format("sysctl -w {}={}", key, value);
}

// ---- Devices ----

void tune_offload(const DeviceFacts& device, std::vector<Tuning>* out) {
  const std::string name = shell_word(device.name);
  if (!device.gro.value_or(true)) {
    out->push_back({Scope::kNamespace,
                    fmt::format("GRO of {}", device.name),
                    "off",
                    "on",
                    "TCP comes as super-packets, which fettle takes whole (--gso).",
                    "measured: a stream through a queue has 8.8 Gbit/s with GRO and 3.9 without; "
                    "with a byte of each packet changed, 8.5 and 3.5",
                    {fmt::format("ethtool -K {} gro on", name)}});
  }
  if (device.lro.value_or(false)) {
    out->push_back(
        {Scope::kNamespace,
         fmt::format("LRO of {}", device.name),
         "on",
         "off",
         "What LRO has merged cannot be forwarded as it came; GRO's can.",
         "by the kernel's source (net/core/dev.c, dev_disable_lro); not measured with fettle",
         {fmt::format("ethtool -K {} lro off", name)}});
  }
}

void tune_ring(const DeviceFacts& device, std::vector<Tuning>* out) {
  if (device.missed == 0 || !device.ring || !device.ring_most) return;
  if (*device.ring >= *device.ring_most) return;
  out->push_back(
      {Scope::kNamespace,
       fmt::format("the receive ring of {}", device.name),
       fmt::format("{} descriptors, and {} packets found none", *device.ring, device.missed),
       fmt::format("{}, the most it has", *device.ring_most),
       "A burst that the CPU is late for waits there. The link may go down for a moment.",
       documented("networking/statistics.rst, rx_missed_errors; ethtool(8) -G"),
       {fmt::format("ethtool -G {} rx {}", shell_word(device.name), *device.ring_most)}});
}

// Where there are CPUs without a worker, those; otherwise all.
Cpus receivers_for(const DoctorPlan& plan) {
  Cpus idle = without(plan.usable_cpus, workers_cpus(plan));
  if (plan.has_queues && !idle.empty()) return idle;
  return {plan.usable_cpus.begin(), plan.usable_cpus.end()};
}

// One after the other: a device of several queues has an interrupt for each.
std::vector<std::string> spread(const DeviceFacts& device, const Cpus& cpus) {
  std::vector<std::string> out;
  auto cpu = cpus.begin();
  for (const InterruptFacts& interrupt : device.interrupts) {
    out.push_back(fmt::format("echo {} >/proc/irq/{}/smp_affinity_list", *cpu, interrupt.number));
    if (++cpu == cpus.end()) cpu = cpus.begin();
  }
  return out;
}

void tune_interrupts(const DeviceFacts& device, const DoctorPlan& plan, std::vector<Tuning>* out) {
  const Cpus now = interrupted(device), workers = workers_cpus(plan);
  const Cpus wanted = receivers_for(plan);
  const bool beside = std::ranges::any_of(now, [&](int cpu) { return workers.contains(cpu); });
  const bool idle = std::ranges::none_of(wanted, [&](int cpu) { return workers.contains(cpu); });
  const bool heaped = device.receive_queues > 1 && now.size() == 1 && wanted.size() > 1;
  if (!plan.has_queues || !((beside && idle) || heaped)) return;
  out->push_back({Scope::kNamespace, fmt::format("the interrupts of {}", device.name),
                  fmt::format("on CPU {}", fmt::join(now, ",")),
                  fmt::format("on CPU {}", fmt::join(wanted, ",")),
                  idle ? "A worker gets what the interrupts that feed it leave of its CPU; others "
                         "have none."
                       : "One CPU takes all that comes, and feeds all workers.",
                  idle ? "measured: 500,000 packets a second with both apart, 266,000 on one CPU"
                       : documented("networking/scaling.rst, RSS IRQ Configuration"),
                  spread(device, wanted)});
}

// Of a device with one queue, whatever else it has interrupts for.
void tune_steering(const DeviceFacts& device, const DoctorPlan& plan, std::vector<Tuning>* out) {
  Cpus wanted = receivers_for(plan);
  if (wanted.size() < 2) wanted = {plan.usable_cpus.begin(), plan.usable_cpus.end()};
  const bool off = device.receive_queues == 1 && device.rps.empty();
  if (!off || plan.queues() < 2 || wanted.size() < 2) return;
  out->push_back(
      {Scope::kNamespace,
       fmt::format("receive packet steering (RPS) of {}", device.name),
       "off",
       fmt::format("to CPU {}", fmt::join(wanted, ",")),
       fmt::format("One CPU receives for {} workers; RPS spreads packets by flow.", plan.queues()),
       documented("networking/scaling.rst, RPS Configuration"),
       {fmt::format("for q in /sys/class/net/{}/queues/rx-*; do echo {} >\"$q/rps_cpus\"; done",
                    shell_word(device.name), mask_of(wanted))}});
}

// ---- The kernel ----

void tune_backlog(const TuningFacts& facts, std::vector<Tuning>* out) {
  if (facts.softnet.dropped == 0 || facts.backlog.value_or(kBacklog) >= kBacklog) return;
  out->push_back(
      {Scope::kMachine,
       "net.core.netdev_max_backlog",
       fmt::format("{}, and {} packets found it full", *facts.backlog, facts.softnet.dropped),
       fmt::format("{}", kBacklog),
       "What RPS hands to another CPU, and what comes by veth, waits there.",
       documented("admin-guide/sysctl/net.rst, netdev_max_backlog"),
       {sysctl("net.core.netdev_max_backlog", kBacklog)}});
}

void tune_budget(const TuningFacts& facts, std::vector<Tuning>* out) {
  if (!facts.budget || *facts.budget >= kBudget) return;
  const uint64_t late = facts.softnet.squeezed * static_cast<uint64_t>(std::max(*facts.budget, 0));
  if (late * kOften < facts.softnet.processed || late == 0) return;
  Tuning tuning{
      Scope::kMachine,
      "net.core.netdev_budget",
      fmt::format("{}, and {} rounds left packets over", *facts.budget, facts.softnet.squeezed),
      fmt::format("{}", kBudget),
      "More of a burst is taken off the cards before others have the CPU. A worker on "
      "that CPU waits as much longer.",
      documented("admin-guide/sysctl/net.rst, netdev_budget"),
      {sysctl("net.core.netdev_budget", kBudget)}};
  if (facts.budget_usecs.value_or(kBudgetUsecs) < kBudgetUsecs) {
    tuning.commands.push_back(sysctl("net.core.netdev_budget_usecs", kBudgetUsecs));
  }
  out->push_back(std::move(tuning));
}

// Three quarters full is full at the next peak; then new connections are dropped.
void tune_conntrack(const TuningFacts& facts, std::vector<Tuning>* out) {
  if (!facts.conntrack_writable || !facts.conntrack_max || !facts.conntrack_buckets) return;
  int most = *facts.conntrack_max;
  const int count = facts.conntrack_count.value_or(0);
  if (most > 0 && int64_t{count} * 4 >= int64_t{most} * 3) {
    most = std::max(2 * count, 65536);
    out->push_back({Scope::kMachine,
                    "net.netfilter.nf_conntrack_max",
                    fmt::format("{}, of which {} are in use", *facts.conntrack_max, count),
                    fmt::format("{}", most),
                    "Where the table is full, packets of new connections are dropped.",
                    documented("networking/nf_conntrack-sysctl.rst, nf_conntrack_max"),
                    {sysctl("net.netfilter.nf_conntrack_max", most)}});
  }
  if (most / kMostInABucket <= *facts.conntrack_buckets) return;
  out->push_back({Scope::kMachine,
                  "net.netfilter.nf_conntrack_buckets",
                  fmt::format("{}, for {} connections", *facts.conntrack_buckets, most),
                  fmt::format("{}", most / kMostInABucket),
                  "Each packet is looked for in a bucket; the fuller they are, the longer.",
                  documented("networking/nf_conntrack-sysctl.rst, nf_conntrack_buckets"),
                  {sysctl("net.netfilter.nf_conntrack_buckets", most / kMostInABucket)}});
}

void tune_streams(const HostFacts& facts, const DoctorPlan& plan, std::vector<Tuning>* out) {
  constexpr std::string_view kKey = "net.netfilter.nf_conntrack_tcp_be_liberal";
  const std::string command = sysctl(kKey, 1);
  const bool wanted = std::ranges::any_of(
      judge_streams(facts, plan), [&](const Finding& finding) { return finding.fix == command; });
  if (!wanted) return;
  out->push_back({Scope::kNamespace,
                  std::string(kKey),
                  "0",
                  "1",
                  "The rules edit TCP streams behind connection tracking, which takes "
                  "acknowledgements of bytes that it has not seen sent for INVALID, and translates "
                  "them no more.",
                  "tested: fettle's own live tests (tests/live/doctor_test.sh); the kernel's "
                  "networking/nf_conntrack-sysctl.rst",
                  {command}});
}

void tune_buffer(const HostFacts& facts, std::vector<Tuning>* out) {
  if (facts.receive_buffer == 0 || facts.receive_buffer >= kWantedBuffer) return;
  out->push_back({Scope::kMachine,
                  "net.core.rmem_max",
                  fmt::format("a queue's socket gets {} bytes", facts.receive_buffer),
                  fmt::format("{}", kWantedBuffer),
                  "Without CAP_NET_ADMIN over the machine (SO_RCVBUFFORCE) a socket gets no more.",
                  documented("admin-guide/sysctl/net.rst, rmem_max"),
                  {sysctl("net.core.rmem_max", kWantedBuffer)}});
}

// ---- CPUs ----

void tune_cpus(const HostFacts& facts, const DoctorPlan& plan, std::vector<Tuning>* out) {
  const Cpus workers = workers_cpus(plan);
  Tuning slow{Scope::kMachine,
              "the frequency governor of the workers' CPUs",
              "",
              "performance",
              "A worker that waits for packets is taken for idle, and wakes on a slow CPU.",
              documented("admin-guide/pm/cpufreq.rst"),
              {}};
  for (const auto& [cpu, governor] : facts.governors) {
    if (!workers.contains(cpu) || governor == "performance") continue;
    slow.now += fmt::format("{}CPU {} {}", slow.now.empty() ? "" : ", ", cpu, governor);
    slow.commands.push_back(fmt::format(
        "echo performance >/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor", cpu));
  }
  if (!slow.commands.empty()) out->push_back(std::move(slow));
  if (facts.irqbalance) {
    out->push_back({Scope::kMachine,
                    "irqbalance",
                    "running",
                    "stopped",
                    "It moves interrupts onto the workers' CPUs as it sees fit, and off those that "
                    "they are put on here.",
                    "irqbalance(1); not measured with fettle",
                    {"systemctl disable --now irqbalance"}});
  }
  if (facts.swap_kib > 0 && facts.swappiness.value_or(60) > 10) {
    out->push_back({Scope::kMachine,
                    "vm.swappiness",
                    fmt::format("{}, with {} MiB of swap", facts.swappiness.value_or(60),
                                facts.swap_kib >> 10),
                    "1",
                    "A worker whose tables were swapped out lets packets wait for the disk.",
                    documented("admin-guide/sysctl/vm.rst, swappiness"),
                    {sysctl("vm.swappiness", 1)}});
  }
}

}  // namespace

std::vector<Tuning> find_tunings(const HostFacts& facts, const DoctorPlan& plan) {
  std::vector<Tuning> out;
  tune_streams(facts, plan, &out);
  for (const DeviceFacts& device : facts.devices) {
    if (!device.physical) continue;
    tune_offload(device, &out);
    tune_ring(device, &out);
    tune_interrupts(device, plan, &out);
    tune_steering(device, plan, &out);
  }
  tune_backlog(facts.tuning, &out);
  tune_budget(facts.tuning, &out);
  tune_conntrack(facts.tuning, &out);
  tune_buffer(facts, &out);
  tune_cpus(facts, plan, &out);
  return out;
}

}  // namespace fettle
