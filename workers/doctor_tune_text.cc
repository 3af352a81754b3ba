// Tunings as a script: POSIX sh, of commands that may be run again and again.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "workers/doctor_cpus.h"
#include "workers/doctor_tune.h"
#include "workers/printable.h"

namespace fettle {
namespace {

using Tunings = std::vector<Tuning>;

constexpr size_t kLongest = 400;
constexpr std::string_view kSysctl = "sysctl -w ";

std::string comment(std::string_view text) { return "# " + printable(text, kLongest) + "\n"; }
std::string heading(std::string_view text) { return fmt::format("\n# ======== {}\n", text); }

std::string one(const Tuning& tuning) {
  std::string out =
      "\n" + comment(fmt::format("{}: now {}; better {}", tuning.what, tuning.now, tuning.wanted));
  out += comment("  " + tuning.why);
  out += comment("  " + tuning.source);
  for (const std::string& command : tuning.commands) out += command + "\n";
  return out;
}

std::string section(std::string_view title, const Tunings& tunings, Tuning::Scope scope) {
  std::string out;
  for (const Tuning& tuning : tunings) {
    if (tuning.scope == scope) out += one(tuning);
  }
  return out.empty() ? "" : heading(title) + out;
}

// What outlives a restart.
std::string lasting(const Tunings& tunings) {
  std::string settings;
  bool others = false;
  for (const Tuning& tuning : tunings) {
    for (const std::string& command : tuning.commands) {
      const bool setting = command.starts_with(kSysctl);
      if (setting) settings += comment("  " + command.substr(kSysctl.size()));
      others |= !setting;
    }
  }
  std::string out = heading("To keep it through a restart of the machine");
  if (!settings.empty()) out += comment("in /etc/sysctl.d/90-fettle.conf:") + settings;
  if (others) {
    out += comment(fmt::format("{} in a unit of its own (Type=oneshot, Before=fettle.service)",
                               settings.empty() ? "all of it" : "the rest"));
  }
  return out;
}

std::string left_alone(const HostFacts& facts) {
  std::string out = heading("Left alone");
  if (facts.receive_buffer >= kWantedBuffer) {
    out += comment(
        "net.core.rmem_max and wmem_max: fettle's buffers are set past them (SO_RCVBUFFORCE)");
  }
  out += comment(
      "net.core.rps_sock_flow_entries: for packets that end on this machine, not for forwarded "
      "ones");
  if (!facts.tuning.backlog) {
    out += comment(
        "net.core.netdev_max_backlog and netdev_budget: of the whole machine, not seen from this "
        "network namespace");
  }
  if (facts.tuning.conntrack_max && !facts.tuning.conntrack_writable) {
    out += comment(
        "net.netfilter.nf_conntrack_max and nf_conntrack_buckets: cannot be written from here");
  }
  if (std::ranges::none_of(facts.devices, &DeviceFacts::physical)) {
    out += comment(
        "offloads, rings, interrupts, RPS: no device of hardware, or a virtual "
        "machine's, is here");
  }
  return out;
}

}  // namespace

std::string tuning_script(const Tunings& tunings, const HostFacts& facts, const DoctorPlan& plan) {
  std::string out = "#!/bin/sh\n";
  const std::string workers =
      plan.has_queues
          ? fmt::format("queue{} {}, with workers on CPU {}", plan.queues() == 1 ? "" : "s",
                        plan.queue_range(), fmt::join(workers_cpus(plan), ","))
          : "one queue; --queue-balance says which there are, and --cpus where";
  out += comment(fmt::format("fettle doctor --tune, for {}", workers));
  if (tunings.empty()) {
    return out + comment("Nothing is left to change.") + left_alone(facts);
  }
  out += comment(
      "What would serve fettle better on this machine. Read it, then run it as root; run "
      "again, it changes nothing more.");
  out += section("The whole machine", tunings, Tuning::Scope::kMachine);
  out += section("This network namespace and its devices", tunings, Tuning::Scope::kNamespace);
  return out + lasting(tunings) + left_alone(facts);
}

}  // namespace fettle
