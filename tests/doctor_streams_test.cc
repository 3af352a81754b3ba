#include "tests/doctor_cases.h"
#include "workers/doctor_firewall.h"

namespace fettle {
namespace {

constexpr std::string_view kHooks =
    ":PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n";
constexpr std::string_view kTracks =
    "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n";
constexpr std::string_view kNat = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\n";

HostFacts host(std::string_view raw, std::string_view mangle, std::string_view more) {
  return good_host(std::string("*raw\n") + std::string(kHooks) + std::string(raw) + "\n*mangle\n" +
                   std::string(kHooks) + std::string(mangle) + "\n" + std::string(more));
}

DoctorPlan streams() {
  DoctorPlan plan = good_plan();
  plan.needs.streams = true;
  return plan;
}

constexpr std::string_view kFromInside =
    "-A PREROUTING -i lan -p tcp -m tcp --dport 21 -j NFQUEUE --queue-balance 0:1 --queue-bypass";
constexpr std::string_view kToInside =
    "-A POSTROUTING -o lan -p tcp -m tcp --sport 21 -j NFQUEUE --queue-balance 0:1 --queue-bypass";

TEST(DoctorStreamsTest, BothSidesOfConnectionTrackingAreGood) {
  const Findings findings = judge_streams(host(kFromInside, kToInside, kNat), streams());
  expect_no_trouble(findings);
  EXPECT_EQ(findings.size(), 1u);
}

TEST(DoctorStreamsTest, NothingIsSaidWhereNoRuleEditsStreams) {
  EXPECT_TRUE(judge_streams(host(kFromInside, "", kNat), good_plan()).empty());
}

TEST(DoctorStreamsTest, OneDirectionAloneIsBadAndItsMirrorTheFix) {
  expect_one(judge_streams(host(kFromInside, "", kNat), streams()), "stream-hooks", Grade::kBad,
             "one direction",
             "iptables -t mangle -A POSTROUTING -o lan -p tcp -m tcp --sport 21 -j NFQUEUE "
             "--queue-balance 0:1 --queue-bypass");
}

TEST(DoctorStreamsTest, BothDirectionsBeforeTrackingAreBad) {
  expect_one(
      judge_streams(host("-A PREROUTING -p tcp -j NFQUEUE --queue-balance 0:1", "", kNat),
                    streams()),
      "stream-hooks", Grade::kBad, "both directions",
      "iptables -t mangle -A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 && iptables -t raw -D "
      "PREROUTING 1");
}

TEST(DoctorStreamsTest, BehindTrackingItHasToBeLiberal) {
  HostFacts facts = host("", "-A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1", kTracks);
  expect_one(judge_streams(facts, streams()), "stream-hooks", Grade::kBad, "strict",
             "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1");
  facts.be_liberal = 1;
  expect_no_trouble(judge_streams(facts, streams()));
}

TEST(DoctorStreamsTest, WithoutTrackingAnyPlaceWillDo) {
  expect_no_trouble(
      judge_streams(host("", "-A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1", ""), streams()));
}

TEST(DoctorStreamsTest, BeforeNatPutsAddressesBackRepliesAreForeign) {
  HostFacts facts = host("", "-A PREROUTING -p tcp -j NFQUEUE --queue-balance 0:1", kNat);
  facts.be_liberal = 1;
  expect_one(
      judge_streams(facts, streams()), "stream-hooks", Grade::kBad, "addresses back",
      "iptables -t mangle -A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 && iptables -t mangle "
      "-D PREROUTING 1");
}

TEST(DoctorStreamsTest, RulesForUdpAreNoMatterOfStreams) {
  expect_no_trouble(judge_streams(
      host("", "-A FORWARD -p udp -j NFQUEUE --queue-balance 0:1", kTracks), streams()));
}

}  // namespace
}  // namespace fettle
