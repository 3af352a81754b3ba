#include "workers/doctor_firewall.h"

#include "tests/doctor_cases.h"

namespace fettle {
namespace {

HostFacts with(std::string_view rule) {
  return good_host(
      "*mangle\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" +
      std::string(rule) + "\nCOMMIT\n");
}

TEST(DoctorFirewallTest, AGoodHostHasNoTrouble) {
  expect_no_trouble(judge_queue_rules(good_host(), good_plan()));
  expect_no_trouble(judge_offload(good_host(), good_plan()));
}

TEST(DoctorFirewallTest, NoRuleIsBadOnceFettleRuns) {
  HostFacts facts = with("");
  expect_one(judge_queue_rules(facts, good_plan()), "queue-rules", Grade::kWarn, "queues 0:1",
             "-j NFQUEUE --queue-balance 0:1 --queue-bypass");
  facts.queues = {{.queue = 0, .owner = "fettle (process 3)", .fettle = true, .processes = {3}}};
  expect_one(judge_queue_rules(facts, good_plan()), "queue-rules", Grade::kBad, "queues 0:1", "");
}

TEST(DoctorFirewallTest, ARangeBeyondTheWorkersIsBad) {
  const HostFacts facts = with("-A FORWARD -p udp -j NFQUEUE --queue-balance 0:3 --queue-bypass");
  expect_one(
      judge_queue_rules(facts, good_plan()), "queue-range", Grade::kBad, "0:3",
      "iptables -t mangle -R FORWARD 1 -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass");
}

TEST(DoctorFirewallTest, ANarrowRangeLeavesWorkersIdle) {
  const HostFacts facts = with("-A FORWARD -p udp -j NFQUEUE --queue-num 0 --queue-bypass");
  const Findings findings = judge_queue_rules(facts, good_plan());
  expect_one(findings, "queue-range", Grade::kWarn, "queue 0", "--queue-balance 0:1");
  expect_one(findings, "queue-rules", Grade::kWarn, "queue 1", "--queue-balance 0:1");
}

TEST(DoctorFirewallTest, BypassIsAsThePlanWants) {
  HostFacts facts = with("-A FORWARD -p udp -j NFQUEUE --queue-balance 0:1");
  expect_one(judge_queue_rules(facts, good_plan()), "queue-bypass", Grade::kWarn, "no bypass",
             "--queue-balance 0:1 --queue-bypass");
  DoctorPlan closed = good_plan();
  closed.fail_closed = true;
  expect_no_trouble(judge_queue_rules(facts, closed));
  expect_one(judge_queue_rules(good_host(), closed), "queue-bypass", Grade::kBad, "--fail-closed",
             "--queue-balance 0:1");
}

TEST(DoctorFirewallTest, FanOutIsNothingForStreamsNorForFewQueues) {
  const HostFacts facts =
      with("-A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass --queue-cpu-fanout");
  DoctorPlan plan = good_plan();
  expect_no_trouble(judge_queue_rules(facts, plan));
  plan.usable_cpus = {0, 1, 2, 3};
  expect_one(judge_queue_rules(facts, plan), "queue-fanout", Grade::kWarn, "4 CPUs",
             "-R FORWARD 1 -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass");
  plan.needs.streams = true;
  expect_one(judge_queue_rules(facts, plan), "queue-fanout", Grade::kBad, "TCP streams", "-R");
}

TEST(DoctorFirewallTest, WhatIsAcceptedBeforeIsHidden) {
  const HostFacts facts = with(
      "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
      "-A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass");
  expect_one(
      judge_queue_rules(facts, good_plan()), "hidden-packets", Grade::kBad, "rule 1",
      "iptables -t mangle -I FORWARD 1 -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass && "
      "iptables -t mangle -D FORWARD 3");
  const HostFacts tcp = with(
      "-A FORWARD -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
      "-A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass");
  expect_no_trouble(judge_queue_rules(tcp, good_plan()));
}

TEST(DoctorFirewallTest, AChainThatNothingLeadsToIsBad) {
  const HostFacts facts = with(":x - [0:0]\n-A x -j NFQUEUE --queue-balance 0:1 --queue-bypass");
  expect_one(judge_queue_rules(facts, good_plan()), "queue-rules", Grade::kBad, "no chain", "");
}

TEST(DoctorFirewallTest, ToolsThatAreMissingOrFail) {
  HostFacts facts = good_host("");
  facts.has_iptables = facts.has_nft = false;
  facts.unread = {"nft: no permission"};
  const auto found = troubles(judge_queue_rules(facts, good_plan()), "firewall");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].grade, Grade::kSkip);
  EXPECT_EQ(found[1].fix, "apt-get install iptables");
}

TEST(DoctorFirewallTest, ShortcutsHideForwardedPackets) {
  HostFacts facts = good_host(std::string(kGoodRules) +
                              "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate "
                              "ESTABLISHED -j FLOWOFFLOAD\n");
  expect_one(judge_offload(facts, good_plan()), "flow-offload", Grade::kBad, "fast path",
             "iptables -t filter -D FORWARD 1");
  facts = good_host();
  read_nft(R"({"nftables": [{"rule": {"family": "inet", "table": "f", "chain": "c", "handle": 7,
    "expr": [{"flow": {"op": "add", "flowtable": "@ft"}}]}}]})",
           "", &facts.firewall);
  expect_one(judge_offload(facts, good_plan()), "flow-offload", Grade::kBad, "inet f c",
             "nft 'delete rule inet f c handle 7'");
  facts = good_host();
  facts.devices = {{.name = "eth0", .hardware_offload = true}};
  expect_one(judge_offload(facts, good_plan()), "flow-offload", Grade::kWarn, "eth0",
             "ethtool -K eth0 hw-tc-offload off");
}

}  // namespace
}  // namespace fettle
