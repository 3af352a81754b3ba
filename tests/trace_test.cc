// The traced walk: what it tells, and that it does what the packet path does.
#include "rules/trace.h"

#include <random>

#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::hex;
using testing::PacketBuilder;

constexpr const char* kRules = R"(
[[rule]]
match = { ttl = "0-64" }
steps = [{ set = { window = 1, dscp = 3 } }, { mark = "2/2" }, "log"]
[[rule]]
match = { ttl = 99 }
steps = ["drop"]
[[rule]]
match = { dst-port = "0-3" }
steps = [{ write = "ffff", at = 2 }, { set = { ttl = 7 } }, "repeat", "accept"]
on-miss = "drop"
[[rule]]
match = { mark = "2/2" }
steps = [{ queue = 9 }]
)";

// "r0", then "+" for a step that is done and "-" for one that has missed.
class Letters final : public TraceSink {
 public:
  void rule(uint32_t rule) noexcept override { text += "r" + std::to_string(rule); }
  void step(const Packet& packet, const Metadata& metadata, bool missed) noexcept override {
    text += missed ? '-' : '+';
    mark = metadata.mark;
    ttl = packet.ttl();
  }
  std::string text;
  uint32_t mark = 0;
  uint8_t ttl = 0;
};

class TraceTest : public ::testing::Test {
 protected:
  TraceTest() {
    Parsed parsed = parse_rules(kRules, "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    program = std::move(*compile(parsed.set, &diagnostics));
    rules.resize(program.rule_names().size());
  }
  Outcome run(ByteVector& bytes, TraceSink* sink) {
    ProgramState state{.counters = &counters, .rules = rules, .log = nullptr};
    Packet packet = parse(bytes);
    metadata = {.mark = 0x10};
    return sink ? program.trace(packet, metadata, state, *sink)
                : program.apply(packet, metadata, state);
  }
  std::string traced(PacketBuilder packet) {
    ByteVector bytes = packet.build().bytes;
    letters = {};
    run(bytes, &letters);
    return letters.text;
  }
  Program program;
  ProgramCounters counters;
  std::vector<RuleCounters> rules;
  Metadata metadata;
  Letters letters;
};

TEST_F(TraceTest, TellsRulesAndStepsInTheirOrder) {
  const PacketBuilder udp = PacketBuilder("10.0.0.1", "10.0.0.2").udp(5, 2);
  EXPECT_EQ(traced(PacketBuilder(udp).payload(hex("00000000"))), "r0-++r2+++");
  EXPECT_EQ(letters.mark, 0x12u);
  EXPECT_EQ(letters.ttl, 7);
  EXPECT_EQ(traced(PacketBuilder(udp).payload(hex("00"))), "r0-++r2-") << "on-miss ends it";
  EXPECT_EQ(traced(PacketBuilder(udp).ttl(99)), "r1+");
  EXPECT_EQ(traced(PacketBuilder(udp).ttl(98).udp(1, 9)), "");
  EXPECT_EQ(traced(PacketBuilder("10.0.0.1", "10.0.0.2").tcp(5, 9)), "r0+++r3+");
}

TEST_F(TraceTest, AMalformedPacketMeetsNoRule) {
  ByteVector bytes = PacketBuilder("10.0.0.1", "10.0.0.2").udp(5, 2).build().bytes;
  bytes.resize(24);
  Letters none;
  EXPECT_EQ(run(bytes, &none).verdict, Verdict::kAccept);
  EXPECT_EQ(none.text, "");
}

TEST_F(TraceTest, DoesWhatThePacketPathDoes) {
  std::mt19937 random(20261128);
  int changed = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    PacketBuilder packet("10.0.0.1", "10.0.0.2");
    packet.ttl(static_cast<uint8_t>(below(3) ? 60 + below(10) : 99));
    const auto to = static_cast<uint16_t>(below(6));
    below(2) ? packet.udp(1, to) : packet.tcp(1, to);
    packet.payload(ByteVector(below(6)));
    ByteVector plain = packet.build().bytes;
    if (below(8) == 0) plain.resize(1 + below(29));
    ByteVector traced = plain;
    const Outcome one = run(plain, nullptr);
    const Metadata after = metadata;
    const Outcome other = run(traced, &letters);
    ASSERT_EQ(plain, traced) << i;
    ASSERT_EQ(one.verdict, other.verdict) << i;
    ASSERT_EQ(one.queue, other.queue) << i;
    ASSERT_EQ(one.changed, other.changed) << i;
    ASSERT_EQ(one.mark_changed, other.mark_changed) << i;
    ASSERT_EQ(after.mark, metadata.mark) << i;
    changed += one.changed;
  }
  EXPECT_GT(changed, 500);
}

}  // namespace
}  // namespace fettle
