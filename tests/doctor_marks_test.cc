#include "tests/doctor_cases.h"
#include "workers/doctor_firewall.h"

namespace fettle {
namespace {

DoctorPlan marking(uint32_t line = 0) {
  DoctorPlan plan = good_plan();
  plan.rules = "rules.toml";
  plan.marks = {{.value = 1, .mask = 1, .what = line == 0 ? "bypass-mark" : "voice", .line = line}};
  return plan;
}

HostFacts with(std::string_view rules) {
  return good_host(std::string("*mangle\n:FORWARD ACCEPT [0:0]\n") + std::string(rules) + "\n");
}

constexpr std::string_view kBypass =
    "-A FORWARD -m connmark --mark 0x1/0x1 -j ACCEPT\n"
    "-A POSTROUTING -m mark --mark 0x1/0x1 -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1";

TEST(DoctorMarksTest, TheMarksOwnRulesAreNoConflict) {
  expect_no_trouble(judge_marks(with(kBypass), marking()));
  EXPECT_TRUE(judge_marks(with(kBypass), good_plan()).empty());
}

TEST(DoctorMarksTest, ABypassMarkNeedsRulesThatLetPass) {
  expect_one(judge_marks(with(""), marking()), "bypass-rules", Grade::kWarn, "0x1/0x1",
             "-m connmark --mark 0x1/0x1 -j ACCEPT");
}

TEST(DoctorMarksTest, SharedBitsConflict) {
  const HostFacts facts =
      with(std::string(kBypass) + "\n-A FORWARD -m mark --mark 0x1/0xf -j RETURN");
  expect_one(judge_marks(facts, marking()), "marks", Grade::kBad, "rule 2 asks for mark 0x1/0xf",
             "sed -i 's|\\(bypass-mark *= *\\)\"[^\"]*\"|\\1\"0x10/0x10\"|' rules.toml");
  expect_one(judge_marks(facts, marking(7)), "marks", Grade::kBad, "rule \"voice\" sets",
             "sed -i '7 s|\\(mark *= *\\)");
  const HostFacts sets = with("-A FORWARD -j MARK --set-xmark 0x3/0x3");
  expect_one(judge_marks(sets, marking(7)), "marks", Grade::kBad, "sets mark 0x3/0x3", "0x4/0x4");
  expect_no_trouble(judge_marks(with("-A FORWARD -j MARK --set-xmark 0x6/0x6"), marking(7)));
}

TEST(DoctorMarksTest, AMarkAsAWholeHasNoBitsToSpare) {
  expect_one(judge_marks(with("-A FORWARD -m mark --mark 0x5 -j DROP"), marking(7)), "marks",
             Grade::kBad, "0x5/0xffffffff", "");
}

TEST(DoctorMarksTest, PolicyRoutingByMark) {
  HostFacts facts = with("");
  facts.ip_rules =
      "0:\tfrom all lookup local\n100:\tfrom all fwmark 0x1/0xf lookup 100\n32766:\tfrom all "
      "lookup "
      "main\n";
  expect_one(judge_marks(facts, marking(7)), "marks", Grade::kBad, "ip rule 100", "0x10/0x10");
  facts.ip_rules = "100:\tfrom all fwmark 0x2/0x2 lookup 100\nx fwmark y\n fwmark \n";
  expect_no_trouble(judge_marks(facts, marking(7)));
}

}  // namespace
}  // namespace fettle
