// Impairments as rule files have them: shares within what chance allows (seeds are fixed, so that a
// test that holds once holds always), times to the nanosecond.
#include "rules/impairment.h"

#include <bit>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "rules/program.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::Built;
using testing::ByteVector;
using testing::filled;
using testing::PacketBuilder;
using testing::State;

constexpr uint64_t kMs = 1'000'000;

class Line {
 public:
  explicit Line(const std::string& steps, const std::string& more = "") {
    const Parsed parsed =
        parse_rules("[[rule]]\nmatch = {}\nsteps = [" + steps + "]\n" + more, "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
    EXPECT_TRUE(program) << render(diagnostics, parsed.sources);
    rules = std::vector<RuleCounters>(program->rule_names().size());
    clocks = std::vector<std::atomic<uint64_t>>(program->needs().clocks);
    state = {.counters = &counters, .rules = rules, .impairments = {.clocks = clocks}};
  }
  Outcome send(ByteVector& bytes, ChecksumPlan plan = ChecksumPlan::kComplete) {
    Packet packet = parse({bytes.data(), bytes.size()});
    packet.plan = plan;
    Metadata metadata;
    return program->apply(packet, metadata, state);
  }
  Outcome send(size_t length = 1000) {
    ByteVector bytes =
        PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).payload(filled(length - 28)).build().bytes;
    return send(bytes);
  }
  std::optional<Program> program;
  ProgramCounters counters;
  std::vector<RuleCounters> rules;
  std::vector<std::atomic<uint64_t>> clocks;
  ProgramState state;
};

TEST(ImpairmentTest, LosesItsShareAndTellsThatFromAVerdict) {
  Line line(R"({ lose = "5%" })");
  constexpr int kCount = 20'000;
  int lost = 0;
  for (int i = 0; i < kCount; ++i) {
    const Outcome outcome = line.send();
    EXPECT_EQ(outcome.lost, outcome.verdict == Verdict::kDrop);
    lost += outcome.lost ? 1 : 0;
  }
  EXPECT_NEAR(lost, kCount * 0.05, 5 * 31);  // five standard deviations
  EXPECT_EQ(line.counters.dropped, static_cast<uint64_t>(lost));
  EXPECT_FALSE(line.program->needs().packets) << "nothing is read";
  EXPECT_FALSE(line.program->needs().holds);
}

TEST(ImpairmentTest, AllOfThemIsAllAndTheRestOfTheWayIsNotGone) {
  Line line(R"({ lose = "100%" }, { mark = 1 })");
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(line.send().lost);
}

TEST(ImpairmentTest, TheSameSeedLosesTheSamePackets) {
  const auto lost = [](uint64_t seed) {
    Line line(R"({ lose = "50%" })");
    line.state.impairments.random = seed;
    std::string out;
    for (int i = 0; i < 64; ++i) out += line.send().lost ? 'x' : '.';
    return out;
  };
  EXPECT_EQ(lost(1), lost(1));
  EXPECT_NE(lost(1), lost(2));
}

TEST(ImpairmentTest, DelaysOfSeveralStepsAndRulesAddUp) {
  Line line(R"({ delay = "20ms" }, { delay = "250us" })",
            "[[rule]]\nmatch = {}\nsteps = [{ delay = \"1.5s\" }, \"accept\"]\n");
  const Outcome outcome = line.send();
  EXPECT_EQ(outcome.delay, 1'520'250'000u);
  EXPECT_EQ(outcome.verdict, Verdict::kAccept);
  EXPECT_TRUE(line.program->needs().holds);
  EXPECT_FALSE(line.program->needs().packets);
}

TEST(ImpairmentTest, JitterIsUniformAroundTheDelay) {
  Line line(R"({ delay = "20ms", jitter = "5ms" })");
  constexpr int kCount = 10'000;
  constexpr uint64_t kPart = kMs;
  std::vector<int> parts(10);
  for (int i = 0; i < kCount; ++i) {
    const uint64_t delay = line.send().delay;
    ASSERT_GE(delay, 15 * kMs);
    ASSERT_LE(delay, 25 * kMs);
    ++parts[std::min<size_t>((delay - 15 * kMs) / kPart, parts.size() - 1)];
  }
  for (const int part : parts) EXPECT_NEAR(part, kCount / 10, 5 * 30);
}

TEST(ImpairmentTest, ReorderDelaysItsShareAndNoOther) {
  Line line(R"({ reorder = "25%", by = "10ms" })");
  constexpr int kCount = 10'000;
  int chosen = 0;
  for (int i = 0; i < kCount; ++i) {
    const uint64_t delay = line.send().delay;
    ASSERT_TRUE(delay == 0 || delay == 10 * kMs) << delay;
    chosen += delay > 0 ? 1 : 0;
  }
  EXPECT_NEAR(chosen, kCount / 4, 5 * 44);
}

// 1000 bytes at 8 Mbit/s take 1 ms.
TEST(ImpairmentTest, ARateSendsOnePacketAfterAnother) {
  Line line(R"({ rate = "8mbit", latency = "2ms" })");
  EXPECT_TRUE(line.program->needs().packets) << "their lengths";
  EXPECT_FALSE(line.program->needs().changes);
  uint64_t& now = line.state.impairments.now;
  now = 7;
  EXPECT_EQ(line.send().delay, 1 * kMs);
  EXPECT_EQ(line.send().delay, 2 * kMs);
  now += kMs / 2;
  EXPECT_EQ(line.send(500).delay, 2 * kMs);
  EXPECT_EQ(line.send().delay, 3 * kMs) << "it waits 2 ms for its turn";
  const Outcome late = line.send();
  EXPECT_TRUE(late.lost) << "3 ms would be too long";
  EXPECT_EQ(late.verdict, Verdict::kDrop);
  now += 100 * kMs;
  EXPECT_EQ(line.send().delay, 1 * kMs) << "the line has been free since";
}

TEST(ImpairmentTest, WhoShareALineShareItsRate) {
  Line one(R"({ rate = "8mbit" }, { rate = "80mbit" })");
  EXPECT_EQ(one.send().delay, 1 * kMs + kMs / 10) << "two lines, one behind the other";
  ProgramState other{
      .counters = &one.counters, .rules = one.rules, .impairments = {.clocks = one.clocks}};
  std::swap(one.state, other);
  EXPECT_EQ(one.send().delay, 2 * kMs + kMs / 5);
}

struct Damage {
  size_t bits = 0;
  size_t at = 0;
};
Damage damage(const ByteVector& one, const ByteVector& other) {
  Damage out;
  for (size_t i = 0; i < one.size(); ++i) {
    const auto bits = std::popcount(std::to_integer<unsigned>(one[i] ^ other[i]));
    if (bits > 0) out = {.bits = out.bits + static_cast<size_t>(bits), .at = i};
  }
  return out;
}

TEST(ImpairmentTest, CorruptInvertsOneBitOfThePayloadAndLeavesTheChecksumWrong) {
  for (const char* source : {"10.0.0.1", "fd00::1"}) {
    const bool four = source[0] == '1';
    for (const bool tcp : {false, true}) {
      PacketBuilder builder(source, four ? "10.0.0.2" : "fd00::2");
      tcp ? builder.tcp(1, 2) : builder.udp(1, 2);
      const Built built = builder.payload(filled(20)).build();
      std::set<size_t> places;
      Line line(R"({ corrupt = "100%" })");
      for (int i = 0; i < 400; ++i) {
        ByteVector bytes = built.bytes;
        const Outcome outcome = line.send(bytes);
        EXPECT_TRUE(outcome.changed);
        const Damage found = damage(built.bytes, bytes);
        ASSERT_EQ(found.bits, 1u);
        ASSERT_GE(found.at, built.bytes.size() - 20);
        EXPECT_EQ(testing::transport_state(bytes, built.layout), State::kBad);
        places.insert(found.at);
      }
      EXPECT_EQ(places.size(), 20u) << "every byte has its turn";
    }
  }
}

TEST(ImpairmentTest, AChecksumThatWasLeftToTheCardIsWrongForTheFlippedBitAlone) {
  const Built built = PacketBuilder("10.0.0.1", "10.0.0.2")
                          .udp(1, 2)
                          .payload(filled(20))
                          .checksum(State::kPartial)
                          .build();
  ByteVector bytes = built.bytes;
  Line line(R"({ set = { ttl = 9 } }, { corrupt = "100%" }, { write = "ffff", at = 0 })");
  line.send(bytes, ChecksumPlan::kFinish);
  EXPECT_EQ(testing::transport_state(bytes, built.layout), State::kBad);
  // Mended by the bit alone, it is right.
  int right = 0;
  for (size_t bit = 28 * 8; bit < bytes.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1u << bit % 8);
    bytes[bit / 8] ^= mask;
    right += testing::transport_state(bytes, built.layout) == State::kGood ? 1 : 0;
    bytes[bit / 8] ^= mask;
  }
  EXPECT_GE(right, 1);
}

TEST(ImpairmentTest, CorruptMissesWhatHasNoPayloadOrWhoseChecksumOthersWrite) {
  Line line(R"({ corrupt = "100%" })");
  ByteVector empty = PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).build().bytes;
  EXPECT_FALSE(line.send(empty).changed);
  EXPECT_EQ(line.rules[0].misses, 1u);
  const ByteVector whole =
      PacketBuilder("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(filled(9)).build().bytes;
  ByteVector bytes = whole;
  EXPECT_FALSE(line.send(bytes, ChecksumPlan::kPseudo).changed);
  EXPECT_FALSE(line.send(bytes, ChecksumPlan::kImmutable).changed);
  EXPECT_EQ(bytes, whole);
  EXPECT_EQ(line.rules[0].misses, 3u);
}

std::string refusal(const std::string& step) {
  const Parsed parsed = parse_rules("[[rule]]\nmatch = {}\nsteps = [" + step + "]\n", "f.toml");
  return render(parsed.diagnostics, parsed.sources);
}

TEST(ImpairmentTest, UnitsAreThoseOfTc) {
  for (const auto& [text, expected] :
       std::initializer_list<std::pair<const char*, uint64_t>>{{"1s", 1'000'000'000},
                                                               {"1.5s", 1'500'000'000},
                                                               {"20ms", 20 * kMs},
                                                               {"20 ms", 20 * kMs},
                                                               {"250us", 250'000},
                                                               {"0.5us", 500},
                                                               {"100NS", 100},
                                                               {"60s", 60'000'000'000}}) {
    Line line(fmt::format(R"({{ delay = "{}" }})", text));
    EXPECT_EQ(line.send().delay, expected) << text;
  }
  // 1250 bytes are 10,000 bits.
  for (const auto& [text, expected] :
       std::initializer_list<std::pair<const char*, uint64_t>>{{"10000bit", 1'000'000'000},
                                                               {"10kbit", 1'000'000'000},
                                                               {"0.01Mbit", 1'000'000'000},
                                                               {"10mbit", kMs},
                                                               {"1gbit", 10'000}}) {
    Line line(fmt::format(R"({{ rate = "{}" }})", text));
    EXPECT_EQ(line.send(1250).delay, expected) << text;
  }
}

TEST(ImpairmentTest, RefusalsSayWhatWasFoundAndExpected) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({ delay = 20 })", "delay: found 20, expected a time from 1ns to 60s, like \"20ms\""},
      {R"({ delay = "20" })", "delay: found \"20\", expected a time"},
      {R"({ delay = "20 min" })", "delay: found \"20 min\", expected a time"},
      {R"({ delay = "0ms" })", "delay: found \"0ms\", expected a time"},
      {R"({ delay = "-1ms" })", "delay: found \"-1ms\", expected a time"},
      {R"({ delay = "nans" })", "delay: found \"nans\", expected a time"},
      {R"({ delay = "61s" })", "delay: found \"61s\", expected a time"},
      {R"({ delay = "5ms", jitter = "6ms" })",
       "jitter: found \"6ms\", expected no more than the delay"},
      {R"({ delay = "5ms", by = "6ms" })", "unknown key of delay \"by\""},
      {R"({ lose = "5" })", "lose: found \"5\", expected a percentage above 0% and up to 100%"},
      {R"({ lose = "101%" })", "lose: found \"101%\", expected a percentage"},
      {R"({ lose = "0%" })", "lose: found \"0%\", expected a percentage"},
      {R"({ reorder = "5%" })", "reorder needs `by`, how long the chosen packets wait"},
      {R"({ rate = "10mbps" })", "rate: found \"10mbps\", expected a rate in bits a second"},
      {R"({ rate = "10mbit", latency = "x" })", "latency: found \"x\", expected a time"},
      {R"({ corrupt = true })", "corrupt: found true, expected a percentage"},
      {R"("lose")", "step \"lose\" needs more than its name, expected { lose = PERCENTAGE }"},
  };
  for (const auto& [step, expected] : kCases) {
    const std::string said = refusal(step);
    EXPECT_NE(said.find(expected), std::string::npos) << step << ": " << said;
    EXPECT_NE(said.find("f.toml:3:"), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace fettle
