// A machine on which all is well, for tests that break one thing of it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "workers/doctor_facts.h"
#include "workers/doctor_finding.h"
#include "workers/doctor_plan.h"

namespace fettle {

inline constexpr std::string_view kGoodRules =
    "*mangle\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
    "-A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass\nCOMMIT\n";

inline HostFacts good_host(std::string_view iptables = kGoodRules) {
  HostFacts facts;
  facts.release = "7.2.0";
  facts.config =
      "CONFIG_NETFILTER_NETLINK_QUEUE=m\nCONFIG_NETFILTER_XT_TARGET_NFQUEUE=m\nCONFIG_NFT_QUEUE=m\n"
      "CONFIG_NETFILTER_NETLINK_GLUE_CT=y\n";
  facts.queue_module = facts.net_admin = facts.has_iptables = facts.has_nft = true;
  facts.receive_buffer = kWantedBuffer;
  facts.be_liberal = 0;
  facts.forwards4 = facts.forwards6 = 1;
  facts.rp_filter = 0;
  facts.swappiness = 60;
  read_iptables(iptables, "iptables", &facts.firewall);
  return facts;
}

inline DoctorPlan good_plan() {
  DoctorPlan plan;
  plan.has_queues = true;
  plan.first_queue = 0;
  plan.last_queue = 1;
  plan.cpus = plan.usable_cpus = {0, 1};
  plan.needs.changes = true;
  return plan;
}

// The findings of a check that are not ok.
inline Findings troubles(const Findings& findings, std::string_view check) {
  Findings out;
  std::ranges::copy_if(findings, std::back_inserter(out), [&](const Finding& finding) {
    return finding.check == check && finding.grade != Grade::kOk;
  });
  return out;
}

inline void expect_no_trouble(const Findings& findings) {
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.grade, Grade::kOk) << finding.check << ": " << finding.found;
  }
}

// Exactly one, of this grade, whose clause and command have these words.
inline void expect_one(const Findings& findings, std::string_view check, Grade grade,
                       std::string_view found, std::string_view fix) {
  const Findings of_check = troubles(findings, check);
  ASSERT_EQ(of_check.size(), 1u) << check;
  EXPECT_EQ(of_check[0].grade, grade);
  EXPECT_NE(of_check[0].found.find(found), std::string::npos) << of_check[0].found;
  EXPECT_FALSE(of_check[0].why.empty());
  EXPECT_NE(of_check[0].fix.find(fix), std::string::npos) << of_check[0].fix;
}

}  // namespace fettle
