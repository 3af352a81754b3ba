// Options and trailing bytes taken out: what comes out is what would have been built without them.
#include "core/strip.h"

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
using testing::State;
using testing::to_hex;

ByteVector no_operations(size_t count) { return ByteVector(count, std::byte{1}); }
PacketBuilder v4() { return PacketBuilder("10.0.0.1", "10.0.0.2"); }

struct Shape {
  const char* name;
  PacketBuilder before;
  size_t options;  // bytes of them
};
std::vector<Shape> shapes() {
  const PacketBuilder plain = v4();
  PacketBuilder route = plain, used = plain, strict = plain;
  route.source_route(131, {"10.1.0.1", "10.2.0.1"}, 4);
  used.source_route(131, {"10.1.0.1", "10.2.0.1"}, 12);
  strict.source_route(137, {"10.1.0.1"}, 4, 3);
  return {{"router alert", PacketBuilder(plain).options(hex("94040000")), 4},
          {"record route", PacketBuilder(plain).options(hex("070b04 00000000 00000000")), 12},
          {"malformed", PacketBuilder(plain).options(hex("44ff05 01 0203")), 8},
          {"source route", route, 12},
          {"source route, used up", used, 12},
          {"strict source route", strict, 12}};
}

TEST(StripIpOptions, LeavesThePacketThatHasNoOperations) {
  for (const Shape& shape : shapes()) {
    for (const State state : {State::kGood, State::kBad, State::kAbsent, State::kPartial}) {
      for (const bool tcp : {false, true}) {
        if (tcp && state == State::kAbsent) continue;
        const auto build = [&](PacketBuilder builder) {
          tcp ? builder.tcp(1, 2) : builder.udp(1, 2);
          return builder.payload(filled(9)).checksum(state).build();
        };
        Built given = build(shape.before);
        const Built wanted = build(v4().options(no_operations(shape.options)));
        Packet packet = parse(given.bytes);
        ASSERT_EQ(strip_ipv4_options(packet), Edit::kDone) << shape.name;
        EXPECT_TRUE(packet.changed) << shape.name;
        EXPECT_EQ(packet.final_destination, 16u);
        EXPECT_EQ(testing::header_state(given.bytes, wanted.layout), State::kGood) << shape.name;
        EXPECT_EQ(testing::transport_state(given.bytes, wanted.layout), state) << shape.name;
        if (state == State::kBad) continue;  // off by as much as before, not by the builder's
        EXPECT_EQ(to_hex(given.bytes), to_hex(wanted.bytes)) << shape.name;
      }
    }
  }
}

TEST(StripIpOptions, ABadHeaderChecksumStaysBad) {
  Built given = v4().options(hex("94040000")).udp(1, 2).header_checksum(State::kBad).build();
  Packet packet = parse(given.bytes);
  ASSERT_EQ(strip_ipv4_options(packet), Edit::kDone);
  EXPECT_EQ(testing::header_state(given.bytes, given.layout), State::kBad);
}

TEST(StripIpOptions, AnOutstandingChecksumIsWrittenForTheDestinationThatIsLeft) {
  PacketBuilder builder = v4();
  builder.source_route(131, {"10.1.0.1"}, 4).udp(1, 2).payload(filled(9));
  Built given = PacketBuilder(builder).checksum(State::kPartial).build();
  const Built wanted = v4().options(no_operations(8)).udp(1, 2).payload(filled(9)).build();
  Packet packet = parse(given.bytes);
  packet.plan = ChecksumPlan::kFinish;
  ASSERT_EQ(strip_ipv4_options(packet), Edit::kDone);
  finish(packet);
  EXPECT_EQ(to_hex(given.bytes), to_hex(wanted.bytes));
}

TEST(StripIpOptions, FragmentsLoseTheirCopiesAndTheFirstOnesChecksumFollows) {
  PacketBuilder builder = v4();
  builder.source_route(131, {"10.1.0.1"}, 4).udp(1, 2).payload(filled(40));
  auto [first, later] = testing::split(builder.build(), 24);
  auto [wanted, other] =
      testing::split(v4().options(no_operations(8)).udp(1, 2).payload(filled(40)).build(), 24);
  Packet one = parse(first.bytes), two = parse(later.bytes);
  ASSERT_TRUE(two.later_fragment);
  EXPECT_EQ(strip_ipv4_options(one), Edit::kDone);
  EXPECT_EQ(strip_ipv4_options(two), Edit::kDone);
  EXPECT_EQ(to_hex(first.bytes), to_hex(wanted.bytes));
  EXPECT_EQ(to_hex(later.bytes), to_hex(other.bytes));
}

TEST(StripIpOptions, MissesWhereThereAreNone) {
  Built plain = v4().udp(1, 2).build();
  Built six = PacketBuilder("::1", "::2").udp(1, 2).build();
  Built fixed = v4().options(hex("94040000")).udp(1, 2).build();
  Packet packets[] = {parse(plain.bytes), parse(six.bytes), parse(fixed.bytes)};
  packets[2].plan = ChecksumPlan::kImmutable;
  for (Packet& packet : packets) EXPECT_EQ(strip_ipv4_options(packet), Edit::kMiss);
}

TEST(StripTcpTimestamps, LeavesNoOperationsInTheirPlace) {
  struct Case {
    const char* before;
    const char* after;
  };
  const char* const kStays = "";
  const Case cases[] = {{"020405b4 0402 080a 00000001 00000002 01 030307",
                         "020405b4 0402 0101 01010101 01010101 01 030307"},
                        {"0101080a 00000001 00000002", "01010101 01010101 01010101"},
                        {"080a 00000001 00000002 080a 00000003 00000004",
                         "0101 01010101 01010101 0101 01010101 01010101"},
                        {"080a 00000001 00000002 05ff", "0101 01010101 01010101 05ff"},
                        {"080d 00000001 00000002", kStays},     // longer than the header
                        {"00 080a 00000001 00000002", kStays},  // behind the end of the list
                        {"020405b4 01030307", kStays}};
  for (const auto& [before, after] : cases) {
    for (const State state : {State::kGood, State::kPartial}) {
      const auto build = [&](const char* options) {
        return v4().tcp(1, 2, 2, hex(options)).payload(filled(5)).checksum(state).build();
      };
      Built given = build(before);
      const Built wanted = build(after == kStays ? before : after);
      Packet packet = parse(given.bytes);
      EXPECT_EQ(strip_tcp_timestamps(packet), after == kStays ? Edit::kMiss : Edit::kDone);
      EXPECT_EQ(to_hex(given.bytes), to_hex(wanted.bytes)) << before;
    }
  }
}

// What a rule with the step makes of a packet, and how often it missed.
struct Result {
  std::string bytes;
  uint64_t misses = 0;
};
Result run(const std::string& step, ByteVector bytes, Hook hook = Hook::kNone) {
  const Parsed parsed = parse_rules(
      fmt::format("[[rule]]\nmatch = {{}}\nsteps = [{{ strip = {} }}]\n", step), "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  const auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  EXPECT_TRUE(program) << render(diagnostics, parsed.sources);
  if (!program) return {};
  ProgramCounters counters;
  std::vector<RuleCounters> rules(1);
  ProgramState state{.counters = &counters, .rules = rules, .log = nullptr};
  Packet packet = parse(bytes);
  packet.capacity = packet.size;
  Metadata metadata;
  metadata.hook = hook;
  program->apply(packet, metadata, state);
  return {to_hex({packet.data, packet.size}), rules[0].misses};
}

TEST(StripStep, TakesTrailingBytesOffThePayload) {
  const auto udp = [](size_t size) { return v4().udp(1, 2).payload(filled(size)).build().bytes; };
  EXPECT_EQ(run("3", udp(9)).bytes, to_hex(udp(6)));
  EXPECT_EQ(run("9", udp(9)).bytes, to_hex(udp(0)));
  const Result too_many = run("10", udp(9));
  EXPECT_EQ(too_many.bytes, to_hex(udp(9)));
  EXPECT_EQ(too_many.misses, 1u);
  EXPECT_EQ(run("65535", udp(9)).misses, 1u);
  EXPECT_EQ(run("1", v4().tcp(1, 2).payload(filled(9)).build().bytes).misses, 1u);
}

TEST(StripStep, TheSurplusBehindUdpIsNoPayload) {
  const auto udp = [](size_t size) {
    return v4().udp(1, 2).payload(filled(size)).udp_surplus(hex("0a0b")).build().bytes;
  };
  EXPECT_EQ(run("3", udp(9)).bytes, to_hex(udp(6)));
}

TEST(StripStep, InForwardAndInputWhatTheKernelStillFillsInStays) {
  const ByteVector recorded =
      v4().options(hex("07 07 04 00000000")).udp(1, 2).payload(filled(4)).build().bytes;
  const ByteVector alert = v4().options(hex("94040000")).udp(1, 2).build().bytes;
  const ByteVector route =
      PacketBuilder(v4().source_route(131, {"10.1.0.1"}, 4)).udp(1, 2).build().bytes;
  EXPECT_EQ(run("'ip-options'", recorded, Hook::kForward).bytes, to_hex(recorded));
  EXPECT_EQ(run("'ip-options'", recorded, Hook::kForward).misses, 1u);
  EXPECT_EQ(run("'ip-options'", route, Hook::kForward).misses, 1u);
  EXPECT_EQ(run("'ip-options'", recorded, Hook::kInput).misses, 1u);
  EXPECT_EQ(run("'ip-options'", recorded, Hook::kPrerouting).misses, 0u);
  EXPECT_EQ(run("'ip-options'", recorded, Hook::kPostrouting).misses, 0u);
  EXPECT_EQ(run("'ip-options'", alert, Hook::kForward).misses, 0u);
}

TEST(StripStep, IsRefusedWhereItCanNeverBeDone) {
  struct Case {
    const char* rule;
    const char* message;
  };
  const Case cases[] = {{"match = {}\nsteps = [{ strip = 'timestamps' }]",
                         "f.toml:3:20: error: strip: found \"timestamps\", expected "
                         "\"tcp-timestamps\", \"ip-options\", or"},
                        {"match = {}\nsteps = [{ strip = 0 }]", "strip: found 0, expected"},
                        {"match = { protocol = 'udp' }\nsteps = [{ strip = 'tcp-timestamps' }]",
                         "the rule matches no protocol that has it, expected one of \"tcp\""},
                        {"match = { family = 'ipv6' }\nsteps = [{ strip = 'ip-options' }]",
                         "ip-options can never be stripped"}};
  for (const auto& [rule, message] : cases) {
    const Parsed parsed = parse_rules(fmt::format("[[rule]]\n{}\n", rule), "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    if (parsed.ok()) {
      EXPECT_FALSE(compile(parsed.set, &diagnostics)) << rule;
    }
    const std::string said = render(diagnostics, parsed.sources);
    EXPECT_NE(said.find(message), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace fettle
