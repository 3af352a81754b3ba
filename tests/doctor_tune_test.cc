// What --tune advises on a machine made of facts, what each advice takes away, and that its text is
// one that a shell takes.
#include "workers/doctor_tune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/doctor_cases.h"
#include "workers/run_tool.h"

namespace fettle {
namespace {

using Tunings = std::vector<Tuning>;

HostFacts with_device(DeviceFacts device) {
  HostFacts facts = good_host();
  device.name = "eth0";
  device.physical = true;
  facts.devices = {std::move(device)};
  return facts;
}

DoctorPlan plan_of(std::vector<int> usable, std::vector<int> workers) {
  DoctorPlan plan = good_plan();
  plan.usable_cpus = std::move(usable);
  plan.cpus = std::move(workers);
  return plan;
}

std::string commands(const Tunings& tunings) {
  std::string out;
  for (const Tuning& tuning : tunings) {
    EXPECT_FALSE(tuning.now.empty() || tuning.wanted.empty() || tuning.why.empty()) << tuning.what;
    EXPECT_TRUE(tuning.source.starts_with("measured: ") || tuning.source.starts_with("tested: ") ||
                tuning.source.ends_with("; not measured with fettle"))
        << tuning.source;
    for (const std::string& command : tuning.commands) out += command + "\n";
  }
  return out;
}

std::string advice(const HostFacts& facts, const DoctorPlan& plan = good_plan()) {
  return commands(find_tunings(facts, plan));
}

TEST(DoctorTuneTest, WhereAllIsWellNothingIsToBeDone) {
  HostFacts facts = with_device({.gro = true,
                                 .lro = false,
                                 .interrupts = {{41, {0}}, {42, {1}}},
                                 .receive_queues = 2,
                                 .ring = 512,
                                 .ring_most = 4096});
  facts.tuning = {.softnet = {.processed = 1'000'000, .dropped = 0, .squeezed = 3},
                  .backlog = 1000,
                  .budget = 300,
                  .budget_usecs = 2000,
                  .conntrack_max = 262144,
                  .conntrack_count = 1000,
                  .conntrack_buckets = 262144,
                  .conntrack_writable = true};
  EXPECT_EQ(advice(facts), "");
  const std::string script = tuning_script({}, facts, good_plan());
  EXPECT_NE(script.find("\n# Nothing is left to change.\n"), std::string::npos) << script;
  EXPECT_NE(script.find("# fettle doctor --tune, for queues 0:1, with workers on CPU 0,1\n"),
            std::string::npos);
}

TEST(DoctorTuneTest, OffloadsOfHardwareAlone) {
  HostFacts facts = with_device({.gro = false, .lro = true});
  EXPECT_EQ(advice(facts), "ethtool -K eth0 gro on\nethtool -K eth0 lro off\n");
  facts.devices[0].physical = false;
  EXPECT_EQ(advice(facts), "");
}

TEST(DoctorTuneTest, ALargerRingWhereTheOneThereIsHasLost) {
  HostFacts facts = with_device({.ring = 512, .ring_most = 4096});
  EXPECT_EQ(advice(facts), "");
  facts.devices[0].missed = 7;
  EXPECT_EQ(advice(facts), "ethtool -G eth0 rx 4096\n");
  facts.devices[0].ring = 4096;
  EXPECT_EQ(advice(facts), "") << "there is no larger one";
}

TEST(DoctorTuneTest, InterruptsGoToCpusWithoutAWorkerOneAfterTheOther) {
  HostFacts facts =
      with_device({.interrupts = {{41, {0}}, {42, {1}}, {43, {2}}}, .receive_queues = 3});
  EXPECT_EQ(advice(facts, plan_of({0, 1, 2, 3}, {0, 1})),
            "echo 2 >/proc/irq/41/smp_affinity_list\necho 3 >/proc/irq/42/smp_affinity_list\n"
            "echo 2 >/proc/irq/43/smp_affinity_list\n");
  EXPECT_EQ(advice(facts, plan_of({0, 1, 2, 3}, {3})), "") << "none is beside the worker";
  EXPECT_EQ(advice(facts, good_plan()), "") << "there is no other CPU";
  facts.devices[0].interrupts = {{41, {2}}, {42, {3}}, {43, {2}}};
  EXPECT_EQ(advice(facts, plan_of({0, 1, 2, 3}, {0, 1})), "") << "as it would leave them";
}

TEST(DoctorTuneTest, SeveralQueuesOnOneCpuAreSpread) {
  HostFacts facts = with_device({.interrupts = {{41, {0}}, {42, {0}}}, .receive_queues = 2});
  EXPECT_EQ(advice(facts),
            "echo 0 >/proc/irq/41/smp_affinity_list\necho 1 >/proc/irq/42/smp_affinity_list\n");
}

TEST(DoctorTuneTest, OneQueueIsSteeredToMoreCpus) {
  HostFacts facts = with_device({.interrupts = {{41, {0}}, {42, {1}}}, .receive_queues = 1});
  EXPECT_EQ(advice(facts),
            "for q in /sys/class/net/eth0/queues/rx-*; do echo 3 >\"$q/rps_cpus\"; done\n");
  facts.devices[0].rps = {{0, 1}};
  EXPECT_EQ(advice(facts), "");
  facts.devices[0] = {
      .name = "eth0", .physical = true, .interrupts = {{41, {3}}}, .receive_queues = 1};
  EXPECT_EQ(advice(facts, plan_of({0, 1, 2, 3}, {0, 1})),
            "for q in /sys/class/net/eth0/queues/rx-*; do echo c >\"$q/rps_cpus\"; done\n")
      << "to those without a worker";
  DoctorPlan one = plan_of({0, 1, 2, 3}, {0});
  one.last_queue = 0;
  EXPECT_EQ(advice(facts, one), "") << "one worker is no faster for it";
}

TEST(DoctorTuneTest, TheKernelsQueuesWhereTheyHaveLost) {
  HostFacts facts = good_host();
  facts.tuning = {.softnet = {.processed = 1'000'000, .dropped = 5, .squeezed = 400},
                  .backlog = 1000,
                  .budget = 300,
                  .budget_usecs = 2000};
  EXPECT_EQ(advice(facts),
            "sysctl -w net.core.netdev_max_backlog=10000\nsysctl -w net.core.netdev_budget=600\n"
            "sysctl -w net.core.netdev_budget_usecs=8000\n");
  facts.tuning.backlog = 10000;  // what was lost before is still counted
  facts.tuning.budget = 600;
  EXPECT_EQ(advice(facts), "");
  facts.tuning.backlog = facts.tuning.budget = std::nullopt;
  EXPECT_EQ(advice(facts), "");
}

TEST(DoctorTuneTest, ConnectionTrackingBeforeItIsFull) {
  HostFacts facts = good_host();
  facts.tuning = {.conntrack_max = 100'000,
                  .conntrack_count = 75'000,
                  .conntrack_buckets = 16'384,
                  .conntrack_writable = true};
  EXPECT_EQ(advice(facts),
            "sysctl -w net.netfilter.nf_conntrack_max=150000\n"
            "sysctl -w net.netfilter.nf_conntrack_buckets=37500\n");
  facts.tuning.conntrack_max = 150'000;
  facts.tuning.conntrack_buckets = 37'500;
  EXPECT_EQ(advice(facts), "");
  facts.tuning.conntrack_count = 149'000;
  facts.tuning.conntrack_writable = false;
  EXPECT_EQ(advice(facts), "") << "from another network namespace";
}

TEST(DoctorTuneTest, StreamsBehindAStrictConnectionTracking) {
  HostFacts facts = good_host(
      "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n"
      "*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 "
      "--queue-bypass\nCOMMIT\n");
  EXPECT_EQ(advice(facts), "");
  DoctorPlan plan = good_plan();
  plan.needs.streams = true;
  EXPECT_EQ(advice(facts, plan), "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1\n");
  facts.be_liberal = 1;
  EXPECT_EQ(advice(facts, plan), "");
}

TEST(DoctorTuneTest, CpusAndMemory) {
  HostFacts facts = good_host();
  facts.governors = {{0, "performance"}, {1, "powersave"}, {2, "powersave"}};
  facts.irqbalance = true;
  facts.swap_kib = 2097148;
  facts.receive_buffer = 425984;
  EXPECT_EQ(advice(facts),
            "sysctl -w net.core.rmem_max=67108864\n"
            "echo performance >/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor\n"
            "systemctl disable --now irqbalance\nsysctl -w vm.swappiness=1\n");
}

// Everything at once, with a device whose name a shell would read.
TEST(DoctorTuneTest, ItsTextIsForAShell) {
  HostFacts facts = with_device({.gro = false,
                                 .lro = true,
                                 .interrupts = {{41, {0}}},
                                 .receive_queues = 1,
                                 .ring = 1,
                                 .ring_most = 2,
                                 .missed = 3});
  facts.devices[0].name = "it's;reboot";
  facts.irqbalance = true;
  facts.tuning.softnet.dropped = 5;
  facts.tuning.backlog = 1000;
  const DoctorPlan plan = plan_of({0, 1, 2, 3}, {0, 1});
  const std::string script = tuning_script(find_tunings(facts, plan), facts, plan);
  EXPECT_NE(script.find("ethtool -K 'it'\\''s;reboot' gro on\n"), std::string::npos) << script;
  const size_t machine = script.find("\n# ======== The whole machine\n");
  const size_t here = script.find("\n# ======== This network namespace and its devices\n");
  EXPECT_LT(machine, script.find("\nsystemctl disable --now irqbalance\n"));
  EXPECT_LT(script.find("\nsystemctl disable --now irqbalance\n"), here)
      << "before the interrupts are moved";
  EXPECT_LT(here, script.find("\necho 2 >/proc/irq/41/smp_affinity_list\n"));
  EXPECT_NE(script.find("#   net.core.netdev_max_backlog=10000\n"), std::string::npos);
  for (const char* shell : {"sh", "bash"}) {
    const auto read = run_tool({shell, "-n"}, script);
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->good()) << read->err;
  }
  if (const auto judged = run_tool({"shellcheck", "-"}, script)) {
    EXPECT_TRUE(judged->good()) << judged->out << script;
  }
}

}  // namespace
}  // namespace fettle
