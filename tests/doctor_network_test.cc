#include "workers/doctor_network.h"

#include "tests/doctor_cases.h"

namespace fettle {
namespace {

HostFacts with_device(DeviceFacts device) {
  HostFacts facts = good_host();
  facts.devices = {std::move(device)};
  return facts;
}

TEST(DoctorNetworkTest, AGoodHostHasNoTrouble) {
  expect_no_trouble(judge_network(good_host(), good_plan()));
  expect_no_trouble(judge_cpus(good_host(), good_plan()));
}

TEST(DoctorNetworkTest, ABridgeNeedsItsPacketsHandedOver) {
  HostFacts facts = with_device({.name = "br0", .bridge = true});
  expect_one(judge_network(facts, good_plan()), "bridge", Grade::kWarn,
             "br_netfilter is not loaded",
             "modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1");
  facts.bridge_calls_iptables = 0;
  expect_one(judge_network(facts, good_plan()), "bridge", Grade::kWarn, "is 0",
             "sysctl -w net.bridge.bridge-nf-call-iptables=1");
  facts.bridge_calls_iptables = 1;
  expect_no_trouble(judge_network(facts, good_plan()));
  facts = good_host(
      "*mangle\n:FORWARD ACCEPT [0:0]\n"
      "-A FORWARD -m physdev --physdev-in eth1 -j NFQUEUE --queue-balance 0:1\n");
  facts.devices = {{.name = "br0", .bridge = true}};
  expect_one(judge_network(facts, good_plan()), "bridge", Grade::kBad, "br0", "modprobe");
}

TEST(DoctorNetworkTest, FORWARDNeedsForwarding) {
  HostFacts facts = good_host();
  facts.forwards4 = 0;
  facts.forwards6 = 0;  // of no matter: no rule of ip6tables
  expect_one(judge_network(facts, good_plan()), "forwarding", Grade::kBad, "IPv4",
             "sysctl -w net.ipv4.ip_forward=1");
}

TEST(DoctorNetworkTest, ChangedSourcesAreChecked) {
  HostFacts facts = good_host(
      "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j NFQUEUE --queue-balance 0:1\n");
  facts.devices = {{.name = "lan", .rp_filter = 0}, {.name = "wan", .rp_filter = 1}};
  DoctorPlan plan = good_plan();
  expect_no_trouble(judge_network(facts, plan));
  plan.moves_addresses = true;
  expect_one(judge_network(facts, plan), "source-check", Grade::kWarn, "wan",
             "sysctl -w net.ipv4.conf.all.rp_filter=2");
  facts.rp_filter = 2;
  expect_no_trouble(judge_network(facts, plan));
}

TEST(DoctorNetworkTest, ReceiveOffloads) {
  expect_one(
      judge_network(with_device({.name = "eth0", .physical = true, .gro = false, .lro = false}),
                    good_plan()),
      "receive-offload", Grade::kWarn, "GRO is off", "ethtool -K eth0 gro on");
  expect_one(
      judge_network(with_device({.name = "eth0", .physical = true, .gro = true, .lro = true}),
                    good_plan()),
      "receive-offload", Grade::kWarn, "LRO is on", "ethtool -K eth0 lro off");
  expect_no_trouble(judge_network(with_device({.name = "veth0", .gro = false}), good_plan()));
}

TEST(DoctorCpusTest, OneReceiverForSeveralWorkers) {
  HostFacts facts = with_device({.name = "eth0", .physical = true, .interrupts = {{41, {0}}}});
  expect_one(judge_cpus(facts, good_plan()), "receive-cpus", Grade::kWarn, "CPU 0 alone",
             "for q in /sys/class/net/eth0/queues/rx-*; do echo 3 >$q/rps_cpus; done");
  facts.devices[0].rps = {{0, 1}};
  expect_no_trouble(judge_cpus(facts, good_plan()));
  facts.devices[0].rps.clear();
  facts.devices[0].interrupts.push_back({42, {1}});
  expect_no_trouble(judge_cpus(facts, good_plan()));
}

TEST(DoctorCpusTest, InterruptsBesideWorkersMoveToIdleCpus) {
  HostFacts facts = with_device({.name = "eth0", .interrupts = {{41, {0}}, {42, {1}}}});
  DoctorPlan plan = good_plan();
  plan.usable_cpus = {0, 1, 2, 33};
  expect_one(judge_cpus(facts, plan), "interrupts", Grade::kWarn, "(0,1)",
             "for i in 41 42; do echo 2,33 >/proc/irq/$i/smp_affinity_list; done");
  plan.cpus = {2, 33};
  expect_no_trouble(judge_cpus(facts, plan));
  facts.devices[0].interrupts = {{41, {0}}};
  expect_one(judge_cpus(facts, plan), "receive-cpus", Grade::kWarn, "",
             "echo 2,00000007 >$q/rps_cpus");
}

TEST(DoctorCpusTest, IsolatedGovernorsIrqbalanceAndSwap) {
  HostFacts facts = good_host();
  facts.isolated_cpus = {4, 5};
  facts.governors = {{0, "performance"}, {1, "powersave"}, {2, "powersave"}};
  facts.irqbalance = true;
  facts.swap_kib = 2097148;
  const Findings findings = judge_cpus(facts, good_plan());
  expect_one(findings, "isolated-cpus", Grade::kWarn, "4,5", "--cpus 4,5");
  expect_one(findings, "frequency", Grade::kWarn, "CPU 1 runs", "for c in 1; do echo performance");
  expect_one(findings, "irqbalance", Grade::kWarn, "running", "systemctl");
  expect_one(findings, "swap", Grade::kWarn, "2047 MiB", "sysctl -w vm.swappiness=1");
  facts.isolated_cpus = {1};
  facts.governors.clear();
  facts.irqbalance = false;
  facts.swappiness = 1;
  expect_no_trouble(judge_cpus(facts, good_plan()));
}

}  // namespace
}  // namespace fettle
