#include "workers/doctor_cpus.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "workers/doctor_network.h"

namespace fettle {

Cpus workers_cpus(const DoctorPlan& plan) {
  Cpus out;
  for (size_t i = 0; i < plan.queues() && !plan.cpus.empty(); ++i) {
    out.insert(plan.cpus[i % plan.cpus.size()]);
  }
  return out;
}

Cpus without(const std::vector<int>& cpus, const Cpus& taken) {
  Cpus out(cpus.begin(), cpus.end());
  for (const int cpu : taken) out.erase(cpu);
  return out;
}

std::string mask_of(const Cpus& cpus) {
  std::vector<uint32_t> words((cpus.empty() ? 0 : static_cast<size_t>(*cpus.rbegin())) / 32 + 1);
  for (const int cpu : cpus) words[static_cast<size_t>(cpu) / 32] |= uint32_t{1} << (cpu % 32);
  std::string out = fmt::format("{:x}", words.back());
  for (size_t i = words.size() - 1; i-- > 0;) out += fmt::format(",{:08x}", words[i]);
  return out;
}

Cpus interrupted(const DeviceFacts& device) {
  Cpus out;
  for (const InterruptFacts& interrupt : device.interrupts) {
    out.insert(interrupt.cpus.begin(), interrupt.cpus.end());
  }
  return out;
}

Cpus receiving(const DeviceFacts& device) {
  Cpus out = interrupted(device);
  for (const auto& cpus : device.rps) out.insert(cpus.begin(), cpus.end());
  return out;
}

namespace {

// One CPU that takes all packets off a card feeds them to all queues.
void judge_receivers(const DeviceFacts& device, const DoctorPlan& plan, Findings* out) {
  const Cpus cpus = receiving(device);
  if (cpus.size() != 1 || plan.queues() < 2 || plan.usable_cpus.size() < 2) return;
  const Cpus all(plan.usable_cpus.begin(), plan.usable_cpus.end());
  out->push_back(
      {Grade::kWarn, "receive-cpus",
       fmt::format("CPU {} alone receives what comes by {}, for {} workers", *cpus.begin(),
                   device.name, plan.queues()),
       "It is the bottleneck of them all; RPS spreads packets by flow.",
       fmt::format("for q in /sys/class/net/{}/queues/rx-*; do echo {} >$q/rps_cpus; done",
                   device.name, mask_of(all))});
}

// A worker beside the interrupts that feed it gets what they leave of the CPU.
void judge_sharing(const DeviceFacts& device, const DoctorPlan& plan, Findings* out) {
  const Cpus workers = workers_cpus(plan);
  const Cpus idle = without(plan.usable_cpus, workers);
  Cpus busy = interrupted(device);
  std::erase_if(busy, [&](int cpu) { return !workers.contains(cpu); });
  if (!plan.has_queues || busy.empty() || idle.empty()) return;
  std::vector<int> numbers;
  for (const InterruptFacts& interrupt : device.interrupts) numbers.push_back(interrupt.number);
  out->push_back(
      {Grade::kWarn, "interrupts",
       fmt::format("interrupts of {} come to CPUs with a worker ({})", device.name,
                   fmt::join(busy, ",")),
       fmt::format("CPU {} without a worker could take them; on one CPU the two halve each "
                   "other's speed.",
                   fmt::join(idle, ",")),
       fmt::format("for i in {}; do echo {} >/proc/irq/$i/smp_affinity_list; done",
                   fmt::join(numbers, " "), fmt::join(idle, ","))});
}

void judge_isolated(const HostFacts& facts, const DoctorPlan& plan, Findings* out) {
  if (facts.isolated_cpus.empty()) return;
  const Cpus workers = workers_cpus(plan);
  const Cpus unused = without(facts.isolated_cpus, workers);
  if (unused.empty() || unused.size() < facts.isolated_cpus.size()) return;
  out->push_back(
      {Grade::kWarn, "isolated-cpus",
       fmt::format("CPUs {} are isolated, and no worker is on them",
                   fmt::join(facts.isolated_cpus, ",")),
       "Nothing else uses them: give them to the workers, with fettle run, too.",
       fmt::format("fettle doctor{}{} --cpus {}",
                   plan.rules.empty() ? "" : fmt::format(" --rules {}", plan.rules),
                   plan.has_queues ? fmt::format(" --queue-balance {}", plan.queue_range()) : "",
                   fmt::join(facts.isolated_cpus, ","))});
}

void judge_governors(const HostFacts& facts, const DoctorPlan& plan, Findings* out) {
  const Cpus workers = workers_cpus(plan);
  std::vector<int> slow;
  std::string governor;
  for (const auto& [cpu, name] : facts.governors) {
    if (!workers.contains(cpu) || name == "performance") continue;
    slow.push_back(cpu);
    governor = name;
  }
  if (slow.empty()) return;
  out->push_back({Grade::kWarn, "frequency",
                  fmt::format("CPU {} runs by the governor \"{}\"", fmt::join(slow, ","), governor),
                  "A worker that waits for packets is taken for idle, and wakes on a slow CPU.",
                  fmt::format("for c in {}; do echo performance "
                              ">/sys/devices/system/cpu/cpu$c/cpufreq/scaling_governor; done",
                              fmt::join(slow, " "))});
}

}  // namespace

Findings judge_cpus(const HostFacts& facts, const DoctorPlan& plan) {
  Findings out;
  for (const DeviceFacts& device : facts.devices) {
    judge_receivers(device, plan, &out);
    judge_sharing(device, plan, &out);
  }
  judge_isolated(facts, plan, &out);
  judge_governors(facts, plan, &out);
  if (facts.irqbalance) {
    out.push_back({Grade::kWarn, "irqbalance", "irqbalance is running",
                   "It moves interrupts onto the workers' CPUs as it sees fit.",
                   "systemctl disable --now irqbalance"});
  }
  if (facts.swap_kib > 0 && facts.swappiness.value_or(60) > 10) {
    out.push_back({Grade::kWarn, "swap",
                   fmt::format("{} MiB of swap, swappiness {}", facts.swap_kib >> 10,
                               facts.swappiness.value_or(60)),
                   "A worker whose tables were swapped out lets packets wait for the disk.",
                   "sysctl -w vm.swappiness=1"});
  }
  if (out.empty()) {
    out.push_back(
        {Grade::kOk, "cpus", fmt::format("workers on CPU {}", fmt::join(workers_cpus(plan), ","))});
  }
  return out;
}

}  // namespace fettle
