// What compile() refuses and warns of, and what the kernel is asked to copy.
#include "rules/compile.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/parse.h"

namespace fettle {
namespace {

struct Compiled {
  std::optional<Program> program;
  std::string said;
};
Compiled compiled(const std::string& text) {
  const Parsed parsed = parse_rules(text, "f.toml");
  EXPECT_TRUE(parsed.ok()) << render(parsed.diagnostics, parsed.sources);
  std::vector<Diagnostic> diagnostics;
  Compiled out{compile(parsed.set, &diagnostics), ""};
  out.said = render(diagnostics, parsed.sources);
  return out;
}
std::string rule(const std::string& match, const std::string& steps) {
  return fmt::format("[[rule]]\nmatch = {{ {} }}\nsteps = [{}]\n", match, steps);
}

struct Said {
  const char* name;
  std::string text;
  bool refused;
  std::string message;
};
class CompileSaysTest : public testing::TestWithParam<Said> {};

TEST_P(CompileSaysTest, WithPlaceAndReason) {
  const Compiled result = compiled(GetParam().text);
  EXPECT_EQ(result.program.has_value(), !GetParam().refused);
  EXPECT_NE(result.said.find(GetParam().message), std::string::npos) << result.said;
  EXPECT_NE(result.said.find(GetParam().refused ? ": error: " : ": warning: "), std::string::npos);
}

const std::string kReplaceInTcp = "[defaults]\nbypass-mark = \"0x1/0x1\"\n" +
                                  rule("protocol = \"tcp\"", "{ replace = 'a', with = 'b' }");
const std::string kTable =
    "[table.servers]\n\"10.0.0.1\" = \"192.0.2.1\"\n\"10.0.0.2\" = \"192.0.2.1\"\n";

INSTANTIATE_TEST_SUITE_P(
    All, CompileSaysTest,
    testing::Values(
        Said{"NoTable", rule("", "{ translate = \"t\", at = 0 }"), true,
             "f.toml:3:24: error: translate: no table is called \"t\", expected [table.t] in this "
             "file"},
        Said{"NearTable", kTable + rule("", "{ translate = \"serevrs\", at = 0 }"), true,
             "did you mean \"servers\"?"},
        Said{"NotReversible",
             kTable + rule("", "{ translate = \"servers\", at = 0, reverse = true }"), true,
             "f.toml:3:1: error: table servers: 192.0.2.1 stands twice on the right side, first in "
             "f.toml:2"},
        Said{"MustChangeNothing", rule("", "\"accept\"") + "must-change = true\n", true,
             "has must-change, and none of its steps changes a packet"},
        Said{"MustChangeOrAccept",
             rule("", "{ set = { ttl = 9 } }") + "must-change = true\non-miss = \"accept\"\n", true,
             "has must-change, and on-miss = \"accept\""},
        Said{"MustChangeInAnOverload",
             "[defaults]\noverload = \"accept\"\n" + rule("", "{ set = { ttl = 9 } }") +
                 "must-change = true\n",
             true, "has must-change, and [defaults] overload = \"accept\""},
        Said{"WrongFamily", rule("family = \"ipv6\"", "{ set = { src = \"10.0.0.1\" } }"), true,
             "found 10.0.0.1, expected an address of the family that the rule matches"},
        Said{"FamilyByPrefix", rule("dst = \"10.0.0.0/8\"", "{ set = { dst = \"::1\" } }"), true,
             "expected an address of the family"},
        Said{"PortOfIcmp", rule("protocol = \"icmp\"", "{ set = { dst-port = 1 } }"), true,
             "a port can never be set"},
        Said{"WindowOfUdp", rule("protocol = \"udp\"", "{ set = { window = 1 } }"), true,
             "window can never be set: the rule matches no protocol that has it, expected one of "
             "\"tcp\""},
        Said{"MssOfUdp", rule("protocol = [\"udp\", \"sctp\"]", "{ clamp-mss = 1000 }"), true,
             "clamp-mss can never be set"},
        Said{"InsertBeyondPackets", rule("", "{ insert = \"0000\", at = 65534 }"), true,
             "insert: found 2 bytes at 65534"},
        Said{"DeleteBeyondPackets", rule("", "{ delete = 2, at = 65534 }"), true,
             "delete: found 2 bytes at 65534"},
        Said{"FlowLabelOfIpv4", rule("family = \"ipv4\"", "{ set = { flow-label = 5 } }"), true,
             "flow-label can never be set"},
        Said{"WriteBeyondPackets", rule("", "{ write = \"0000\", at = 65534 }"), true,
             "expected them to end within 65535"},
        Said{"NoFamilyLeft", rule("src = \"10.0.0.0/8\", dst = \"::/0\"", "\"drop\""), false,
             "no packet can match: its keys leave no family of IP"},
        Said{"NoProtocolLeft", rule("protocol = \"tcp\", icmp-type = 8", "\"drop\""), false,
             "no packet can match: its keys leave no protocol"},
        Said{"RepeatUnmarked", rule("", "\"repeat\""), false,
             "\"repeat\" without a mark before it"},
        Said{"BypassBesideStreams", kReplaceInTcp + rule("", "{ bypass = true }"), false,
             "bypass: the rule matches TCP, too, whose streams \"rule 1\" edits"},
        Said{"BehindVerdict", rule("ttl = 1", "\"accept\", \"log\""), false,
             "this step is never run"},
        Said{"BehindAll", rule("", "\"accept\"") + rule("ttl = 1", "\"log\""), false,
             "\"rule 2\" is never reached: \"rule 1\" gives every packet its verdict"}),
    [](const auto& instance) { return instance.param.name; });

TEST(CompileTest, WhatIsRightIsSilent) {
  for (const std::string& text : {std::string(), rule("", "\"accept\""),
                                  rule("ttl = 1", "{ mark = \"0x1/0x1\" }, \"repeat\""),
                                  kReplaceInTcp + rule("protocol = \"udp\"", "{ bypass = true }"),
                                  kTable + rule("", "{ translate = \"servers\", at = 4 }")}) {
    const Compiled result = compiled(text);
    EXPECT_TRUE(result.program);
    EXPECT_EQ(result.said, "");
  }
}

struct NeedsCase {
  const char* name;
  std::string text;
  bool packets, changes, whole;
  uint32_t depth;
};
class NeedsTest : public testing::TestWithParam<NeedsCase> {};

TEST_P(NeedsTest, OnlyWhatTheRulesReadIsCopied) {
  const NeedsCase& expected = GetParam();
  const Compiled result = compiled(expected.text);
  ASSERT_TRUE(result.program);
  const Needs& needs = result.program->needs();
  EXPECT_EQ(needs.packets, expected.packets);
  EXPECT_EQ(needs.changes, expected.changes);
  EXPECT_EQ(needs.whole, expected.whole);
  if (needs.packets && !needs.whole) {
    EXPECT_GE(needs.depth, expected.depth);
  }
}

const std::string kDropMalformed = "[defaults]\nmalformed = \"drop\"\n";

INSTANTIATE_TEST_SUITE_P(
    All, NeedsTest,
    testing::Values(
        NeedsCase{"Nothing", "", false, false, false, 0},
        NeedsCase{"Metadata",
                  rule("in = \"eth0\", mark = 1, hook = \"input\", family = \"ipv4\"",
                       "{ mark = 2 }, \"drop\""),
                  false, false, false, 0},
        NeedsCase{"Ipv4Ports", rule("family = \"ipv4\", dst-port = 53", "\"drop\""), true, false,
                  false, 120},
        NeedsCase{"Ipv4ByPrefix", rule("src = \"10.0.0.0/8\", protocol = \"udp\"", "\"drop\""),
                  true, false, false, 120},
        NeedsCase{"Ipv4Bytes",
                  rule("family = \"ipv4\", bytes = { at = 100, hex = \"00\" }", "\"drop\""), true,
                  false, false, 221},
        NeedsCase{"Ipv6HasNoBound", rule("dst-port = 53", "\"drop\""), true, false, true, 0},
        NeedsCase{"Log", rule("family = \"ipv4\"", "\"log\""), true, false, false, 120},
        NeedsCase{"Change", rule("family = \"ipv4\"", "{ set = { ttl = 1 } }"), true, true, true,
                  0},
        NeedsCase{"MalformedMatters", kDropMalformed, true, false, true, 0}),
    [](const auto& instance) { return instance.param.name; });

TEST(CompileTest, QueuesAreTold) {
  const Compiled result =
      compiled(rule("ttl = 1", "{ queue = 9 }") + rule("ttl = 2", "{ queue = 3 }") +
               rule("ttl = 3", "{ queue = 9 }"));
  EXPECT_EQ(result.program->needs().queues, (std::vector<uint16_t>{3, 9}));
}

TEST(CompileTest, DescribesWhatItMade) {
  const std::string said =
      compiled(kTable + rule("protocol = \"udp\", not = { src = \"10.9.0.0/16\" }",
                             "{ translate = \"servers\", at = 4 }, \"accept\""))
          .program->describe();
  for (const char* part : {"whole packets: rules change them",
                           "index      1 KiB; for its first rule a packet is compared with 1 of 1 "
                           "alternatives at most\n",
                           "table servers: 2 entries, 2 IPv4 /32", "1  rule 1",
                           "match  protocol udp, not (src 10.9.0.0/16)",
                           "translate the address at payload+4 by servers", "accept\n"}) {
    EXPECT_NE(said.find(part), std::string::npos) << part << "\n" << said;
  }
}

TEST(CompileTest, LoadsAFileOrSaysWhy) {
  const auto missing = load_program("no/such/file");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNoInput);
}

}  // namespace
}  // namespace fettle
