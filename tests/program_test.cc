// What a compiled program does to packets: semantics as data, and random rules against an
// evaluation straight from the rule set's structure.
#include "rules/program.h"

#include <algorithm>
#include <functional>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::Built;
using testing::ByteVector;
using testing::filled;
using testing::hex;
using testing::PacketBuilder;

class Bench {
 public:
  explicit Bench(const std::string& text) {
    const Parsed parsed = parse_rules(text, "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
    EXPECT_TRUE(program) << render(diagnostics, parsed.sources);
    rules.resize(program->rule_names().size());
  }
  Outcome run(ByteVector& bytes, Metadata& metadata, ChecksumPlan plan = ChecksumPlan::kCapture) {
    ProgramState state{.counters = &counters, .rules = rules, .log = nullptr, .captures = captures};
    packet = parse({bytes.data(), bytes.size()});
    packet.plan = plan;
    metadata.family = packet.family;
    return program->apply(packet, metadata, state);
  }
  Outcome run(ByteVector& bytes) {
    Metadata metadata;
    return run(bytes, metadata);
  }
  std::optional<Program> program;
  ProgramCounters counters;
  std::vector<RuleCounters> rules;
  CaptureSink* captures = nullptr;
  Packet packet;
};

PacketBuilder udp(uint16_t to = 1331, const char* from = "10.20.0.11") {
  return PacketBuilder(from, "203.0.113.9")
      .udp(1331, to)
      .payload(hex("4b410100 0a14000b cb007109 0001"));
}
constexpr const char* kKeepAlive = R"(
[table.print-servers]
"10.20.0.11" = "203.0.113.11"
"10.20.4.0/24" = "203.0.114.0/24"
[[rule]]
match = { protocol = "udp", dst-port = 1331 }
steps = [{ translate = "print-servers", at = 4 }]
)";

TEST(ProgramTest, BypassSetsTheMarkOfTheDefaults) {
  Bench bench(R"(
[defaults]
bypass-mark = "0x10/0xf0"
[[rule]]
match = {}
steps = [{ bypass = true }]
[[rule]]
match = { mark = "0x10/0xf0" }
steps = ["drop"]
)");
  EXPECT_FALSE(bench.program->needs().packets) << "metadata will do";
  ByteVector bytes = udp().build().bytes;
  Metadata metadata{.mark = 0xfff};
  const Outcome outcome = bench.run(bytes, metadata);
  EXPECT_EQ(metadata.mark, 0xf1fu);
  EXPECT_TRUE(outcome.mark_changed);
  EXPECT_EQ(outcome.verdict, Verdict::kDrop) << "later rules see it";
}

TEST(ProgramTest, CapturesThePacketAsItIsAtTheStep) {
  struct Sink final : CaptureSink {
    void capture(uint32_t file, const Packet& packet) noexcept override {
      seen.push_back(fmt::format("{} {}", file, packet.ttl()));
    }
    std::vector<std::string> seen;
  } sink;
  Bench bench(R"(
[[rule]]
match = {}
steps = [{ capture = "a" }, { set = { ttl = 9 } }, { capture = "b" }, { set = { ttl = 8 } },
         { capture = "a" }]
)");
  EXPECT_EQ(bench.program->needs().captures, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(bench.program->needs().whole);
  bench.captures = &sink;
  ByteVector bytes = udp().build().bytes;
  bench.run(bytes);
  EXPECT_EQ(sink.seen, (std::vector<std::string>{"0 64", "1 9", "0 8"}));
  bench.captures = nullptr;
  bench.run(bytes);
}

TEST(ProgramTest, TranslatesInThePayloadWithTheChecksumRight) {
  Bench bench(kKeepAlive);
  ByteVector bytes = udp().build().bytes;
  const Outcome outcome = bench.run(bytes);
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(outcome.verdict, Verdict::kAccept);
  const auto expected = PacketBuilder("10.20.0.11", "203.0.113.9")
                            .udp(1331, 1331)
                            .payload(hex("4b410100 cb00710b cb007109 0001"))
                            .build();
  EXPECT_EQ(bytes, expected.bytes);
  EXPECT_EQ(bench.rules[0].hits, 1u);
  EXPECT_EQ(bench.rules[0].misses, 0u);
  EXPECT_EQ(bench.counters.changed, 1u);
}

TEST(ProgramTest, AnAddressThatIsNotInTheTableIsAMissAndChangesNothing) {
  Bench bench(kKeepAlive);
  const ByteVector given = PacketBuilder("10.20.0.11", "203.0.113.9")
                               .udp(1, 1331)
                               .payload(hex("00000000 0a630001"))
                               .build()
                               .bytes;
  ByteVector bytes = given;
  EXPECT_FALSE(bench.run(bytes).changed);
  EXPECT_EQ(bytes, given);
  EXPECT_EQ(bench.rules[0].misses, 1u);
}

TEST(ProgramTest, AnOffsetPastTheEndIsAMiss) {
  Bench bench(kKeepAlive);
  ByteVector bytes = PacketBuilder("10.20.0.11", "203.0.113.9")
                         .udp(1, 1331)
                         .payload(hex("00000000 0a1400"))
                         .build()
                         .bytes;
  EXPECT_FALSE(bench.run(bytes).changed);
  EXPECT_EQ(bench.rules[0].misses, 1u);
}

TEST(ProgramTest, AMissIsAVerdictWhereTheRuleSaysSo) {
  Bench bench(
      "[[rule]]\nmatch = {}\nsteps = [{ set = { window = 1, ttl = 9 } }, \"accept\"]\non-miss = "
      "\"drop\"\n");
  ByteVector bytes = udp().build().bytes;
  EXPECT_EQ(bench.run(bytes).verdict, Verdict::kDrop);
  EXPECT_EQ(bench.rules[0].misses, 1u);
}

TEST(ProgramTest, WhatMustChangeIsDroppedWhereAStepMisses) {
  const std::string rules =
      "[[rule]]\nmatch = {}\nsteps = [{ write = \"ff\", at = 40 }, \"accept\"]\n";
  for (const bool must : {false, true}) {
    Bench bench((rules + (must ? "must-change = true\n" : "")).c_str());
    ByteVector bytes = udp().build().bytes;
    EXPECT_EQ(bench.run(bytes).verdict, must ? Verdict::kDrop : Verdict::kAccept);
    EXPECT_EQ(bench.program->needs().must_change, must);
    EXPECT_EQ(bench.program->needs().drops_orphans, must) << "what nobody has seen is not changed";
  }
}

TEST(ProgramTest, ASetStepMissesOnceAndSetsTheRest) {
  Bench bench(
      "[[rule]]\nmatch = {}\nsteps = [{ set = { window = 1, src = \"::1\", ttl = 9, dst-port = 7 } "
      "}]\n");
  ByteVector bytes = udp().build().bytes;
  EXPECT_TRUE(bench.run(bytes).changed);
  EXPECT_EQ(bench.rules[0].misses, 1u);
  EXPECT_EQ(bytes, udp(7).ttl(9).build().bytes);
}

TEST(ProgramTest, LaterRulesSeeThePacketAndTheMarkAsChanged) {
  Bench bench(R"(
[[rule]]
match = { dst-port = 1331, mark = "0/0xff" }
steps = [{ set = { dst-port = 2000 } }, { mark = "0x5/0xff" }]
[[rule]]
match = { dst-port = 1331 }
steps = ["drop"]
[[rule]]
match = { dst-port = 2000, mark = "5/0xff" }
steps = [{ set = { ttl = 1 } }, { queue = 4 }]
)");
  ByteVector bytes = udp().build().bytes;
  Metadata metadata{.mark = 0xa00};
  const Outcome outcome = bench.run(bytes, metadata);
  EXPECT_EQ(outcome.verdict, Verdict::kQueue);
  EXPECT_EQ(outcome.queue, 4);
  EXPECT_EQ(metadata.mark, 0xa05u);
  EXPECT_TRUE(outcome.mark_changed);
  EXPECT_EQ(bytes, udp(2000).ttl(1).build().bytes);
  EXPECT_EQ(bench.rules[1].hits, 0u);
}

TEST(ProgramTest, WhatBecomesTheSameIsNoChange) {
  Bench bench(
      "[[rule]]\nmatch = {}\nsteps = [{ set = { ttl = 64, dst-port = 1331 } }, { mark = 7 }]\n");
  ByteVector bytes = udp().build().bytes;
  Metadata metadata{.mark = 7};
  const Outcome outcome = bench.run(bytes, metadata);
  EXPECT_FALSE(outcome.changed);
  EXPECT_FALSE(outcome.mark_changed);
  EXPECT_EQ(bench.rules[0].misses, 0u);
}

TEST(ProgramTest, MalformedPacketsTakeTheirDefaultAndMeetNoRule) {
  Bench bench("[defaults]\nmalformed = \"drop\"\n[[rule]]\nmatch = {}\nsteps = [\"accept\"]\n");
  ByteVector bytes = udp().build().bytes;
  bytes[0] = std::byte{0x41};
  EXPECT_EQ(bench.run(bytes).verdict, Verdict::kDrop);
  EXPECT_EQ(bench.counters.malformed, 1u);
  EXPECT_EQ(bench.rules[0].hits, 0u);
}

TEST(ProgramTest, TheDefaultVerdictHoldsBehindTheLastRule) {
  Bench bench("[defaults]\nverdict = \"drop\"\n[[rule]]\nmatch = { ttl = 64 }\nsteps = []\n");
  ByteVector bytes = udp().build().bytes;
  EXPECT_EQ(bench.run(bytes).verdict, Verdict::kDrop);
  EXPECT_EQ(bench.rules[0].hits, 1u);
  EXPECT_EQ(bench.counters.dropped, 1u);
}

TEST(ProgramTest, RulesOnPortsOrPayloadMatchNoLaterFragment) {
  Bench bench(R"(
[[rule]]
match = { not = { dst-port = 1 } }
steps = []
[[rule]]
match = { bytes = { at = 0, hex = "00", mask = "00" } }
steps = []
[[rule]]
match = { protocol = "udp", fragment = "later" }
steps = [{ set = { src = "192.0.2.1" } }]
[[rule]]
match = { fragment = "first" }
steps = []
)");
  auto [first, later] =
      split(PacketBuilder("10.0.0.1", "10.0.0.2").udp(5, 6).payload(filled(100)).build(), 48);
  bench.run(first.bytes);
  bench.run(later.bytes);
  EXPECT_EQ(bench.rules[0].hits, 1u);
  EXPECT_EQ(bench.rules[1].hits, 1u);
  EXPECT_EQ(bench.rules[2].hits, 1u);
  EXPECT_EQ(bench.rules[3].hits, 1u);
  EXPECT_EQ(bench.counters.changed, 1u);
}

TEST(ProgramTest, TranslatesInsideThePacketThatAnIcmpErrorQuotes) {
  Bench bench(R"(
[table.t]
"198.51.100.10" = "10.9.1.2"
[[rule]]
match = { icmp-type = "destination-unreachable" }
steps = [{ translate = "t", at = 12, from = "quoted-network" }]
)");
  const auto quote = [](const char* source) {
    return PacketBuilder(source, "203.0.113.9").udp(5, 6).payload(filled(8)).build().bytes;
  };
  const auto error = [&](const char* source) {
    return PacketBuilder("203.0.113.9", "10.9.1.2").icmp(3, 3).payload(quote(source)).build().bytes;
  };
  ByteVector bytes = error("198.51.100.10");
  EXPECT_TRUE(bench.run(bytes).changed);
  EXPECT_EQ(bytes, error("10.9.1.2"));
}

TEST(ProgramTest, MetadataModeNeedsNoBytes) {
  Bench bench(
      "[[rule]]\nmatch = { in = \"eth+\", hook = \"forward\", family = \"ipv6\" }\nsteps = "
      "[\"drop\"]\n");
  ASSERT_FALSE(bench.program->needs().packets);
  ProgramState state{.counters = &bench.counters, .rules = bench.rules, .log = nullptr};
  for (const auto& [in, hook, family, verdict] :
       {std::tuple{"eth7", Hook::kForward, Family::kIpv6, Verdict::kDrop},
        {"eth7", Hook::kForward, Family::kIpv4, Verdict::kAccept},
        {"eth7", Hook::kInput, Family::kIpv6, Verdict::kAccept},
        {"et", Hook::kForward, Family::kIpv6, Verdict::kAccept},
        {"", Hook::kForward, Family::kIpv6, Verdict::kAccept}}) {
    Packet none;
    Metadata metadata{
        .in = interface_name(in), .out = {}, .mark = 0, .hook = hook, .family = family};
    EXPECT_EQ(bench.program->apply(none, metadata, state).verdict, verdict) << in;
  }
}

// ---- Random rules against the plain meaning of a rule set -------------------------------------

bool in_range(const Operand& operand, uint32_t value) {
  const auto& range = std::get<Range>(operand);
  return value >= range.low && value <= range.high;
}

bool operand_holds(Key key, const Operand& operand, const Packet& p, const Metadata& m) {
  const auto address = [&](const std::byte* at) {
    return std::get<Prefix>(operand).contains(Address::from_bytes(p.family, at));
  };
  switch (key) {
    case Key::kFamily:
      return std::get<Family>(operand) == p.family;
    case Key::kProtocol:
      return in_range(operand, p.protocol);
    case Key::kSrc:
      return address(p.src_bytes());
    case Key::kDst:
      return address(p.dst_bytes());
    case Key::kSrcPort:
      return p.has_ports() && in_range(operand, p.src_port());
    case Key::kDstPort:
      return p.has_ports() && in_range(operand, p.dst_port());
    case Key::kPort:
      return p.has_ports() && (in_range(operand, p.src_port()) || in_range(operand, p.dst_port()));
    case Key::kTtl:
      return in_range(operand, p.ttl());
    case Key::kDscp:
      return in_range(operand, p.traffic_class() / 4);
    case Key::kLength:
      return in_range(operand, p.length);
    case Key::kMark:
      return (m.mark & std::get<MaskedValue>(operand).mask) == std::get<MaskedValue>(operand).value;
    default:
      return false;
  }
}

bool match_holds(const Match& match, const Packet& p, const Metadata& m) {
  for (const Condition& condition : match.all_of) {
    if (std::ranges::none_of(condition.any_of, [&](const Operand& o) {
          return operand_holds(condition.key, o, p, m);
        })) {
      return false;
    }
  }
  return std::ranges::none_of(match.none_of,
                              [&](const Match& none) { return match_holds(none, p, m); });
}

class RandomRules {
 public:
  explicit RandomRules(uint32_t seed) : random_(seed) {}

  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  std::string number() {
    return below(2) ? fmt::format("{}", below(4))
                    : fmt::format("\"{}-{}\"", below(2), 1 + below(3));
  }
  std::string list(const std::function<std::string()>& one) {
    std::string out = "[" + one();
    for (uint32_t i = below(3); i > 0; --i) out += ", " + one();
    return out + "]";
  }
  std::string prefix() {
    return below(2) ? fmt::format("\"10.0.0.{}/{}\"", below(2) * 2, 31)
                    : fmt::format("\"2001:db8::{}\"", below(4));
  }
  std::string key(uint32_t which) {
    switch (which) {
      case 0:
        return "family = " + list([&] { return std::string(below(2) ? "\"ipv4\"" : "\"ipv6\""); });
      case 1:
        return "protocol = " + list([&] { return std::string(below(2) ? "\"tcp\"" : "\"udp\""); });
      case 2:
        return "src = " + list([&] { return prefix(); });
      case 3:
        return "dst = " + list([&] { return prefix(); });
      case 4:
        return "src-port = " + list([&] { return number(); });
      case 5:
        return "dst-port = " + list([&] { return number(); });
      case 6:
        return "port = " + number();
      case 7:
        return "ttl = " + number();
      case 8:
        return "dscp = " + number();
      default:
        return fmt::format("mark = \"{}/3\"", below(4));
    }
  }
  std::string keys(uint32_t most) {
    std::string out;
    uint32_t at = 0;
    for (uint32_t i = below(most + 1); i > 0 && at < 10; --i) {
      at += below(4);
      if (at < 10) out += (out.empty() ? "" : ", ") + key(at++);
    }
    return out;
  }
  std::string rules(size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) {
      std::string match = keys(4);
      if (below(3) == 0)
        match += fmt::format("{}not = {{ {} }}", match.empty() ? "" : ", ", keys(2));
      out += fmt::format("[[rule]]\nmatch = {{ {} }}\nsteps = []\n", match);
    }
    return out;
  }
  ByteVector packet() {
    PacketBuilder builder = below(2) ? PacketBuilder(fmt::format("10.0.0.{}", below(4)),
                                                     fmt::format("10.0.0.{}", below(4)))
                                     : PacketBuilder(fmt::format("2001:db8::{}", below(4)),
                                                     fmt::format("2001:db8::{}", below(4)));
    builder.ttl(static_cast<uint8_t>(below(4))).traffic_class(static_cast<uint8_t>(below(4) << 2));
    const auto port = [&] { return static_cast<uint16_t>(below(4)); };
    switch (below(3)) {
      case 0:
        builder.udp(port(), port());
        break;
      case 1:
        builder.tcp(port(), port());
        break;
      default:
        builder.icmp(8, 0);
        break;
    }
    return builder.payload(filled(below(9))).build().bytes;
  }

 private:
  std::mt19937 random_;
};

TEST(ProgramTest, RandomRulesMatchWhatTheirStructureSays) {
  constexpr uint32_t kSeed = 20261124;
  RandomRules random(kSeed);
  uint64_t hits = 0;
  for (int set = 0; set < 200; ++set) {
    const std::string text = random.rules(12);
    const Parsed parsed = parse_rules(text, "random.toml");
    ASSERT_TRUE(parsed.ok()) << render(parsed.diagnostics, parsed.sources);
    Bench bench(text);
    for (int i = 0; i < 100; ++i) {
      ByteVector bytes = random.packet();
      Metadata metadata{.mark = random.below(4)};
      std::ranges::fill(bench.rules, RuleCounters{});
      bench.run(bytes, metadata);
      for (size_t rule = 0; rule < parsed.set.rules.size(); ++rule) {
        const bool expected = match_holds(parsed.set.rules[rule].match, bench.packet, metadata);
        ASSERT_EQ(bench.rules[rule].hits, expected ? 1u : 0u)
            << "seed " << kSeed << ", set " << set << ", packet " << i << ", rule " << rule << "\n"
            << text;
        hits += expected;
      }
    }
  }
  EXPECT_GT(hits, 1000u);
}

}  // namespace
}  // namespace fettle
