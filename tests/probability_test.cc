// The match key `probability`, as rule files have it. Draws are numbers in turn, as of packets, so
// that a test that holds once holds always.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "rules/program.h"

namespace fettle {
namespace {

constexpr uint32_t kDraws = 100'000;

class Rules {
 public:
  explicit Rules(const std::string& text) {
    const Parsed parsed = parse_rules(text, "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    if (parsed.ok()) program = compile(parsed.set, &diagnostics);
    said = render(diagnostics, parsed.sources);
    if (program) rules.resize(program->rule_names().size());
  }
  // Marks are how the rules tell which of them matched.
  uint32_t mark_of(uint32_t draw) {
    Packet packet;
    Metadata metadata{.family = Family::kIpv4, .draw = draw};
    ProgramState state{.counters = &counters, .rules = rules};
    program->apply(packet, metadata, state);
    return metadata.mark;
  }
  uint32_t hits(size_t rule) const { return static_cast<uint32_t>(rules[rule].hits); }

  std::optional<Program> program;
  std::string said;
  ProgramCounters counters;
  std::vector<RuleCounters> rules;
};

// Five standard deviations.
void expect_share(uint32_t found, double share) {
  EXPECT_NEAR(found, kDraws * share, 5 * std::sqrt(kDraws * share * (1 - share)) + 0.1);
}

TEST(Probability, IsAShareAndEachRuleDrawsAnew) {
  Rules rules(R"(
[[rule]]
match = { probability = "5%" }
steps = [{ mark = "0x1/0x1" }]
[[rule]]
match = { probability = "30%" }
steps = [{ mark = "0x2/0x2" }]
[[rule]]
match = { probability = "30%" }
steps = [{ mark = "0x4/0x4" }]
[[rule]]
match = { probability = "0.1%" }
steps = [{ mark = "0x8/0x8" }]
[[rule]]
match = { probability = "100%" }
steps = [{ mark = "0x10/0x10" }]
)");
  ASSERT_TRUE(rules.program) << rules.said;
  EXPECT_TRUE(rules.program->needs().draws);
  EXPECT_FALSE(rules.program->needs().packets) << "nothing is read";
  uint32_t both = 0, one_behind_the_other = 0, last = 0;
  for (uint32_t draw = 0; draw < kDraws; ++draw) {
    const uint32_t mark = rules.mark_of(draw);
    both += (mark & 6) == 6;
    one_behind_the_other += (mark & 2) != 0 && (last & 2) != 0;
    last = mark;
  }
  expect_share(rules.hits(0), 0.05);
  expect_share(rules.hits(1), 0.3);
  expect_share(rules.hits(2), 0.3);
  expect_share(rules.hits(3), 0.001);
  expect_share(both, 0.09);
  expect_share(one_behind_the_other, 0.09);
  EXPECT_EQ(rules.hits(4), kDraws);
}

TEST(Probability, TheSameDrawIsTheSameAnswer) {
  Rules rules("[[rule]]\nmatch = { probability = \"50%\" }\nsteps = [{ mark = 1 }]\n");
  ASSERT_TRUE(rules.program) << rules.said;
  uint32_t chosen = 0;
  for (uint32_t draw = 0; draw < 1000; ++draw) {
    const uint32_t mark = rules.mark_of(draw);
    chosen += mark;
    ASSERT_EQ(rules.mark_of(draw), mark);
  }
  EXPECT_GT(chosen, 400u);
  EXPECT_LT(chosen, 600u);
}

// An earlier rule's verdict takes its share alone, and `not` the rest.
TEST(Probability, WhatIsNotChosenGoesOn) {
  Rules rules(R"(
[[rule]]
match = { probability = "25%" }
steps = ["drop"]
[[rule]]
match = { not = { probability = "25%" } }
steps = [{ mark = 1 }]
)");
  ASSERT_TRUE(rules.program) << rules.said;
  EXPECT_EQ(rules.said, "") << "the second is reached";
  for (uint32_t draw = 0; draw < kDraws; ++draw) rules.mark_of(draw);
  expect_share(rules.hits(0), 0.25);
  expect_share(rules.hits(1), 0.75 * 0.75);
}

TEST(Probability, WhatIsNoShareIsRefused) {
  for (const char* value : {"\"0%\"", "\"101%\"", "\"-1%\"", "\"5\"", "0.5", "\"x%\"", "[]"}) {
    const Rules rules(std::string("[[rule]]\nmatch = { probability = ") + value +
                      " }\nsteps = [\"drop\"]\n");
    EXPECT_FALSE(rules.program) << value;
    EXPECT_NE(rules.said.find("f.toml:2:25: error: probability"), std::string::npos) << rules.said;
  }
}

}  // namespace
}  // namespace fettle
