#include "workers/doctor_kernel.h"

#include "tests/doctor_cases.h"

namespace fettle {
namespace {

TEST(DoctorKernelTest, AGoodHostHasNoTrouble) {
  expect_no_trouble(judge_kernel(good_host(), good_plan()));
  expect_no_trouble(judge_bugs(good_host(), good_plan()));
  expect_no_trouble(judge_queues(good_host(), good_plan()));
}

TEST(DoctorKernelTest, VersionAndOptions) {
  HostFacts facts = good_host();
  facts.release = "3.2.0-4-amd64";
  expect_one(judge_kernel(facts, good_plan()), "kernel", Grade::kBad, "3.2.0", "apt-get");
  facts = good_host();
  facts.config = "# CONFIG_NETFILTER_NETLINK_QUEUE is not set\n";
  expect_one(judge_kernel(facts, good_plan()), "kernel-options", Grade::kBad, "NETLINK_QUEUE",
             "apt");
  facts.config = "CONFIG_NETFILTER_NETLINK_QUEUE=y\n";
  expect_one(judge_kernel(facts, good_plan()), "kernel-options", Grade::kBad, "neither", "apt-get");
  facts.config = std::nullopt;
  expect_one(judge_kernel(facts, good_plan()), "kernel-options", Grade::kSkip, "", "modprobe");
  facts = good_host();
  facts.queue_module = false;
  expect_one(judge_kernel(facts, good_plan()), "kernel-module", Grade::kWarn, "not loaded",
             "modprobe nfnetlink_queue");
}

TEST(DoctorKernelTest, StreamsWantTheKernelsShiftsTold) {
  HostFacts facts = good_host();
  facts.config = "CONFIG_NETFILTER_NETLINK_QUEUE=y\nCONFIG_NFT_QUEUE=m\n";
  DoctorPlan plan = good_plan();
  expect_no_trouble(judge_kernel(facts, plan));
  plan.needs.streams = true;
  expect_one(judge_kernel(facts, plan), "kernel-options", Grade::kWarn, "GLUE_CT", "");
}

TEST(DoctorKernelTest, BugsAreShownWhereTheyCanBeMet) {
  HostFacts facts = good_host();
  facts.release = "6.18.20";
  expect_one(judge_bugs(facts, good_plan()), "kernel-bugs", Grade::kWarn, "CVE-2026-43084",
             "apt-get");
  facts.release = "6.17.1";
  expect_no_trouble(judge_bugs(facts, good_plan()));
  DoctorPlan plan = good_plan();
  plan.no_gso = true;
  expect_one(judge_bugs(facts, plan), "kernel-bugs", Grade::kWarn, "CVE-2026-45859", "");
  read_iptables("*raw\n-A PREROUTING -j CT --helper ftp\n", "iptables", &facts.firewall);
  expect_one(judge_bugs(facts, good_plan()), "kernel-bugs", Grade::kWarn, "CVE-2026-43060", "");
  facts = good_host("*nat\n-A POSTROUTING -j MASQUERADE\n");
  facts.release = "6.10.14";
  expect_one(judge_bugs(facts, good_plan()), "kernel-bugs", Grade::kWarn, "1766", "");
  facts = good_host();
  facts.release = "6.1.0-57-amd64";
  plan = good_plan();
  plan.needs.changes = true;
  const auto udp = [&] {
    return std::ranges::count_if(judge_bugs(facts, plan), [](const Finding& finding) {
      return finding.found.find("UDP super-packets") != std::string::npos;
    });
  };
  EXPECT_EQ(udp(), 1);
  plan.no_gso = true;
  EXPECT_EQ(udp(), 0);
  facts.release = "vanilla";
  expect_one(judge_bugs(facts, good_plan()), "kernel-bugs", Grade::kSkip, "vanilla", "");
}

TEST(DoctorKernelTest, CapabilityBufferAndOwners) {
  HostFacts facts = good_host();
  facts.net_admin = false;
  facts.receive_buffer = 425984;
  facts.queues = {
      {.queue = 1, .owner = "suricata (process 12)", .fettle = false, .processes = {12}}};
  const Findings findings = judge_queues(facts, good_plan());
  expect_one(findings, "capability", Grade::kBad, "CAP_NET_ADMIN",
             "sudo fettle doctor --queue-balance 0:1");
  expect_one(findings, "receive-buffer", Grade::kWarn, "425984",
             "sysctl -w net.core.rmem_max=67108864");
  expect_one(findings, "queue-owner", Grade::kBad, "suricata", "kill 12");
  facts = good_host();
  facts.queues = {{.queue = 1, .owner = "fettle (process 12)", .fettle = true, .processes = {12}}};
  expect_no_trouble(judge_queues(facts, good_plan()));
}

}  // namespace
}  // namespace fettle
