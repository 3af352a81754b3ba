// What `fettle explain` says of one packet, to people and to scripts.
#include "workers/explanation.h"

#include <gtest/gtest.h>

#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::hex;
using testing::PacketBuilder;

LoadedRules load(std::string_view text) {
  Parsed parsed = parse_rules(text, "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  auto program = compile(parsed.set, &diagnostics);
  EXPECT_TRUE(program) << render(diagnostics, parsed.sources);
  return {std::move(parsed), std::move(*program)};
}

constexpr std::string_view kRules = R"(
[[rule]]
name = "the \"first\""
match = { dst-port = 2 }
steps = [{ set = { window = 1 } }, { write = "4142", at = 1 }, { mark = 5 }]
[[rule]]
name = "second"
match = { dst-port = 3 }
steps = ["drop"]
[[rule]]
name = "third"
match = { dst-port = 4 }
steps = [{ clamp-mss = 9 }, { set = { ttl = 1 } }]
on-miss = "drop"
)";

Explanation explain(uint16_t port, ByteVector payload = hex("00000000")) {
  const LoadedRules rules = load(kRules);
  ByteVector bytes =
      PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, port).payload(std::move(payload)).build().bytes;
  ImpairmentState state;
  return explain_packet(rules, bytes, {.mark = 1}, state);
}

TEST(ExplanationTest, ShowsDelaysAndWhatIsLost) {
  const LoadedRules rules = load(R"(
[[rule]]
name = "slow"
match = {}
steps = [{ delay = "20ms" }, { delay = "500us" }]
[[rule]]
name = "lossy"
match = { dst-port = 2 }
steps = [{ lose = "100%" }]
)");
  ImpairmentState state;
  const auto explain_to = [&](uint16_t port) {
    ByteVector bytes =
        PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, port).payload(hex("0000")).build().bytes;
    return explanation_text(explain_packet(rules, bytes, {}, state), 1, {});
  };
  EXPECT_EQ(explain_to(1),
            "packet 1: IPv4 10.0.0.1:1 > 10.0.0.2:1 UDP 2 bytes, ttl 64\n"
            "  rule \"slow\"\n"
            "    done    delay 20ms\n"
            "    done    delay 500us\n"
            "  accept (default), delayed 20.5ms, unchanged\n\n");
  EXPECT_TRUE(explain_to(2).ends_with("  drop (rule \"lossy\")\n\n"));
}

TEST(ExplanationTest, ShowsRulesStepsVerdictAndBytes) {
  EXPECT_EQ(explanation_text(explain(2), 17, {}),
            "packet 17: IPv4 10.0.0.1:1 > 10.0.0.2:2 UDP 4 bytes, ttl 64\n"
            "  rule \"the \"first\"\"\n"
            "    missed  set window 1\n"
            "    done    write 4142 at payload+1; changed bytes 26-27, 29-30\n"
            "    done    mark 0x5\n"
            "  accept (default), mark 0x1 becomes 0x5, changed\n"
            "before                                    after\n"
            "...\n"
            "0010  0a 00 00 02 00 01 00 02  ........   0010  0a 00 00 02 00 01 00 02  ........\n"
            "0018  00 0c*eb*d0 00*00*00 00  ........   0018  00 0c*a9*8f 00*41*42 00  .....AB.\n"
            "\n");
}

TEST(ExplanationTest, SaysWhatTheVerdictCameFrom) {
  EXPECT_EQ(explain(3).verdict, "drop");
  EXPECT_EQ(explain(3).decided_by, "rule \"second\"");
  EXPECT_EQ(explain(4).decided_by, "on-miss of rule \"third\"");
  EXPECT_EQ(explain(4).rules.at(0).steps.size(), 1u);
  EXPECT_EQ(explain(5).decided_by, "default");
  EXPECT_TRUE(explain(5).rules.empty());
  const LoadedRules rules = load(kRules);
  ByteVector bytes = hex("4500");
  ImpairmentState state;
  EXPECT_EQ(explain_packet(rules, bytes, {}, state).decided_by, "malformed");
}

TEST(ExplanationTest, ShowsNoBytesWhereNothingChangesOrNothingLeaves) {
  EXPECT_EQ(explanation_text(explain(5), 1, {}),
            "packet 1: IPv4 10.0.0.1:1 > 10.0.0.2:5 UDP 4 bytes, ttl 64\n"
            "  no rule matches\n"
            "  accept (default), unchanged\n\n");
  EXPECT_EQ(explanation_text(explain(3), 1, {.whole = true}),
            "packet 1: IPv4 10.0.0.1:1 > 10.0.0.2:3 UDP 4 bytes, ttl 64\n"
            "  rule \"second\"\n"
            "    done    drop\n"
            "  drop (rule \"second\")\n\n");
  EXPECT_NE(explanation_text(explain(5), 1, {.whole = true}).find("\n0000  45 00"),
            std::string::npos);
}

TEST(ExplanationTest, JsonIsOneLineAPacket) {
  EXPECT_EQ(
      explanation_json(explain(2), 17, 123),
      R"({"packet": 17, "time_ns": 123, "summary": )"
      R"("IPv4 10.0.0.1:1 > 10.0.0.2:2 UDP 4 bytes, ttl 64", "rules": [)"
      R"({"rule": "the \"first\"", "steps": [)"
      R"({"step": "set window 1", "missed": true, "changed": []}, )"
      R"({"step": "write 4142 at payload+1", "missed": false, "changed": [[26, 28], [29, 31]]}, )"
      R"({"step": "mark 0x5", "missed": false, "changed": []}]}], "verdict": "accept", )"
      R"("decided_by": "default", "mark_before": 1, "mark_after": 5, "delay_ns": 0, "stream": [], "changed": true, )"
      R"("before": "450000201c46000040114a850a0000010a00000200010002000cebd000000000", )"
      R"("after": "450000201c46000040114a850a0000010a00000200010002000ca98f00414200"})"
      "\n");
  EXPECT_NE(explanation_json(explain(3), 1, 0).find("\"after\": null"), std::string::npos);
}

}  // namespace
}  // namespace fettle
