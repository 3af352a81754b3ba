// Rules that edit TCP streams, from a rule file to the bytes on the wire: a rule's match decides
// which packets' bytes its steps see, the stream table what becomes of every packet of the
// connection.
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/bytes.h"
#include "core/mangle.h"
#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"
#include "tests/rule_stream.h"
#include "tests/stream_wire.h"

namespace fettle {
namespace {

using testing::build;
using testing::Bytes;
using testing::Stream;
using testing::Wire;

constexpr const char* kFtp = R"(
[table.inside]
"10.9.1.2" = "198.51.100.1"
[[rule]]
name = "commands"
match = { protocol = "tcp", dst-port = 21 }
steps = [{ translate = "inside", at = "anywhere", as = "comma" },
         { translate = "inside", at = "anywhere", as = "text" },
         { replace = '\bsecret\b', with = '-' }]
[[rule]]
name = "mark"
match = { protocol = "tcp", dst-port = 21 }
steps = [{ set = { ttl = 9 } }]
)";

TEST(StreamRules, ALongerCommandShiftsWhatFollowsInBothDirections) {
  Stream ftp(kFtp);
  EXPECT_EQ(ftp.send(0, {.seq = 1000, .ack = 5000, .flags = 0x10}), StreamAction::kUntracked);
  EXPECT_EQ(ftp.send(0, {.seq = 1000, .ack = 5000, .flags = 0x18, .data = "PORT 10,9,1,2,4,1\r\n"}),
            StreamAction::kReplace);
  ASSERT_EQ(ftp.left.size(), 1u);
  EXPECT_EQ(ftp.left[0].data, "PORT 198,51,100,1,4,1\r\n");
  EXPECT_EQ(ftp.left[0].ttl, 9);
  ftp.send(1, {.seq = 5000, .ack = 1023, .flags = 0x18, .data = "200 ok, 10,9,1,2\r\n"});
  ASSERT_EQ(ftp.left.size(), 1u);
  EXPECT_EQ(ftp.left[0].ack, 1019u);
  EXPECT_EQ(ftp.left[0].data, "200 ok, 10,9,1,2\r\n") << "the rule is for one direction";
  ftp.send(0, {.seq = 1019, .ack = 5018, .flags = 0x18, .data = "LIST\r\n"});
  ASSERT_EQ(ftp.left.size(), 1u);
  EXPECT_EQ(ftp.left[0].seq, 1023u);
}

TEST(StreamRules, WhatASegmentBoundaryCutsIsFound) {
  Stream ftp(kFtp);
  EXPECT_EQ(ftp.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "EPRT |1|10.9."}),
            StreamAction::kHold);
  EXPECT_EQ(ftp.output.reason, StreamReason::kTail);
  EXPECT_EQ(ftp.send(0, {.seq = 13, .ack = 1, .flags = 0x18, .data = "1.2|5|\r\n"}),
            StreamAction::kReplace);
  EXPECT_TRUE(ftp.output.advanced);
  EXPECT_EQ(ftp.left[0].data, "1.100.1|5|\r\n");
  EXPECT_EQ(ftp.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "EPRT |1|10.9."}),
            StreamAction::kReplace);
  EXPECT_EQ(ftp.left[0].data, "EPRT |1|198.5") << "each original byte has its place";
}

// What is held has gone on to its receiver, who acknowledges it: a shadow.
TEST(StreamRules, AnAcknowledgementOfWhatWaitsIsNoSignThatItPassedUnedited) {
  for (const bool passed_on : {false, true}) {
    Stream ftp(kFtp);
    ftp.output.limits.recorded = ftp.output.limits.trust_acknowledgements = true;
    ftp.output.limits.passed_on = passed_on;
    EXPECT_EQ(ftp.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "EPRT |1|10.9."}),
              StreamAction::kHold);
    ftp.send(1, {.seq = 1, .ack = 13, .flags = 0x10});
    EXPECT_EQ(ftp.table().counters().skipped, passed_on ? 0u : 1u);
    EXPECT_EQ(ftp.send(0, {.seq = 13, .ack = 1, .flags = 0x18, .data = "1.2|5|\r\n"}),
              passed_on ? StreamAction::kReplace : StreamAction::kPass);
    ftp.send(1, {.seq = 1, .ack = 200, .flags = 0x10});
    EXPECT_EQ(ftp.table().counters().skipped, passed_on ? 1u : 2u) << "what never came is skipped";
  }
}

TEST(StreamRules, AWaitThatIsOverDecides) {
  Stream ftp(kFtp);
  const Wire cut{.seq = 0, .ack = 1, .flags = 0x18, .data = "at 10.9.1.2"};
  EXPECT_EQ(ftp.send(0, cut, 1000), StreamAction::kHold);
  EXPECT_EQ(ftp.send(0, cut, 1000 + ftp.output.limits.tail_wait), StreamAction::kReplace);
  EXPECT_EQ(ftp.left[0].data, "at 198.51.100.1");
}

TEST(StreamRules, ATailThatMoreIsToFollowWaitsLonger) {
  Stream ftp(kFtp);
  const Wire cut{.seq = 0, .ack = 1, .flags = 0x10, .data = "at 10.9.1.2"};
  const StreamLimits limits;
  EXPECT_EQ(ftp.send(0, cut, 1000), StreamAction::kHold);
  EXPECT_EQ(ftp.output.wait, limits.tail_wait_more);
  EXPECT_EQ(ftp.send(0, cut, 1000 + limits.tail_wait), StreamAction::kHold);
  EXPECT_EQ(ftp.send(0, cut, 1000 + limits.tail_wait_more), StreamAction::kReplace);
}

TEST(StreamRules, AWaitStartsAnewForWhoHoldsNothing) {
  Stream ftp(kFtp);
  const Wire cut{.seq = 0, .ack = 1, .flags = 0x18, .data = "at 10.9."};
  const uint32_t wait = ftp.output.limits.tail_wait;
  ftp.output.fresh = true;
  EXPECT_EQ(ftp.send(0, cut, 1000), StreamAction::kHold);
  EXPECT_EQ(ftp.send(0, cut, 5000), StreamAction::kHold) << "the first was lost with its holder";
  EXPECT_EQ(ftp.output.wait, wait);
  EXPECT_EQ(ftp.send(0, {.seq = 8, .ack = 1, .flags = 0x18, .data = "1.2\r\n"}, 5001),
            StreamAction::kReplace);
  EXPECT_EQ(ftp.left[0].data, "1.100.1\r\n");
}

// A sender whose buffer or congestion window ends in the middle of a match has more to say when
// what it sent is acknowledged.
TEST(StreamRules, ATailIsLeftToBeRepeatedWhereMoreMayFollow) {
  Stream ftp(kFtp);
  ftp.output.limits.part_wait = 40;
  const Wire cut{.seq = 0, .ack = 1, .flags = 0x10, .data = "at 10.9."};
  EXPECT_EQ(ftp.send(0, cut, 1000), StreamAction::kHold);
  EXPECT_EQ(ftp.output.wait, 40u);
  EXPECT_EQ(ftp.send(0, cut, 1040), StreamAction::kReplace);
  EXPECT_TRUE(ftp.output.part);
  ASSERT_EQ(ftp.left.size(), 1u);
  EXPECT_EQ(ftp.left[0].data, "at ");
  ftp.output.fresh = true;
  const Wire tail{.seq = 3, .ack = 1, .flags = 0x10, .data = "10.9."};
  EXPECT_EQ(ftp.send(0, tail, 1300), StreamAction::kHold);
  EXPECT_EQ(ftp.output.wait, ftp.output.limits.tail_wait_more) << "nothing can go without it";
  EXPECT_EQ(ftp.send(0, {.seq = 8, .ack = 1, .flags = 0x18, .data = "1.2\r\n"}, 1301),
            StreamAction::kReplace);
  EXPECT_FALSE(ftp.output.part);
  EXPECT_EQ(ftp.left[0].data, "1.100.1\r\n");
  EXPECT_EQ(ftp.send(0, tail, 1302), StreamAction::kReplace);
  EXPECT_EQ(ftp.left[0].seq, 3u);
  EXPECT_EQ(ftp.left[0].data, "198.5");
}

TEST(StreamRules, ADamagedSegmentDecidesNothing) {
  Stream ftp(kFtp);
  ftp.output.limits.verify = true;
  ftp.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "."});
  const Wire right{.seq = 1, .ack = 1, .flags = 0x18, .data = "at 10.9.1.2\r\n"};
  Bytes damaged = build(right, false, 1, 0);
  damaged[damaged.size() - 3] ^= std::byte{4};  // 10.9.1.6
  EXPECT_EQ(ftp.offer(damaged), StreamAction::kDrop);
  EXPECT_EQ(ftp.output.reason, StreamReason::kDamaged);
  EXPECT_EQ(ftp.send(0, right), StreamAction::kReplace);
  ASSERT_EQ(ftp.left.size(), 1u);
  EXPECT_EQ(ftp.left[0].data, "at 198.51.100.1\r\n");
}

TEST(StreamRules, ASegmentThatEndsAWriteIsDecidedWhole) {
  Stream ftp(kFtp);
  ftp.output.limits.part_wait = 40;
  const Wire cut{.seq = 0, .ack = 1, .flags = 0x18, .data = "at 10.9."};
  EXPECT_EQ(ftp.send(0, cut, 1000), StreamAction::kHold);
  EXPECT_EQ(ftp.send(0, cut, 1040), StreamAction::kPass);
  EXPECT_FALSE(ftp.output.part);
  EXPECT_EQ(ftp.left[0].data, "at 10.9.");
}

TEST(StreamRules, MoreEditsThanHaveRoomDoNotStopTheConnection) {
  Stream many(R"(
[[rule]]
match = { protocol = "tcp" }
steps = [{ replace = 'a', with = 'b' }]
)");
  const std::string text(1000, 'a');
  EXPECT_EQ(many.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = text}), StreamAction::kCannot)
      << "the table has room for 256";
  EXPECT_EQ(many.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = text.substr(0, 200)}),
            StreamAction::kReplace);
  EXPECT_EQ(many.left[0].data, std::string(200, 'b'));
}

TEST(StreamRules, AWordThatBeganInAnEarlierSegmentIsNone) {
  Stream ftp(kFtp);
  ftp.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "no "});
  EXPECT_EQ(ftp.send(0, {.seq = 3, .ack = 1, .flags = 0x18, .data = "top!"}), StreamAction::kPass);
  EXPECT_EQ(ftp.send(0, {.seq = 7, .ack = 1, .flags = 0x18, .data = "secret is -, x"}),
            StreamAction::kReplace);
  EXPECT_EQ(ftp.left[0].data, "- is -, x");
  ftp.send(0, {.seq = 21, .ack = 1, .flags = 0x18, .data = "secret.\r\n"});
  EXPECT_EQ(ftp.left[0].data, "secret.\r\n") << "xsecret";
}

TEST(StreamRules, AConnectionThatNoRuleAsksForStaysOut) {
  Stream ftp(kFtp);
  EXPECT_EQ(ftp.send(1, {.seq = 0, .ack = 1, .flags = 0x18, .data = "220 ready\r\n"}),
            StreamAction::kUntracked);
  EXPECT_EQ(ftp.table().connections(), 0u);
  ftp.send(0, {.seq = 1, .ack = 11, .flags = 0x10});
  EXPECT_EQ(ftp.table().connections(), 0u);
  ftp.send(0, {.seq = 1, .ack = 11, .flags = 0x18, .data = "QUIT\r\n"});
  EXPECT_EQ(ftp.table().connections(), 1u);
}

TEST(StreamRules, OfTwoStepsTheFirstHasTheBytes) {
  Stream two(R"(
[[rule]]
match = { protocol = "tcp" }
steps = [{ replace = 'abc', with = '1' }, { replace = 'bcd', with = '2' }, { replace = 'x', with = 'yy' }]
)");
  two.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "abcd bcd x."});
  EXPECT_EQ(two.left[0].data, "1d 2 yy.");
}

TEST(StreamRules, AHoleThatWillNotBeFilledIsSkipped) {
  Stream ftp(kFtp);
  ftp.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "10.9.1.2 "});
  const Wire late{.seq = 100, .ack = 1, .flags = 0x18, .data = "10.9.1.2 "};
  EXPECT_EQ(ftp.send(0, late), StreamAction::kHold);
  EXPECT_EQ(ftp.output.reason, StreamReason::kEarly);
  ftp.output.skip_hole = true;
  EXPECT_EQ(ftp.send(0, late), StreamAction::kReplace);
  EXPECT_EQ(ftp.left[0].data, "198.51.100.1 ");
  EXPECT_EQ(ftp.left[0].seq, 104u);
  EXPECT_EQ(ftp.table().counters().skipped, 1u);
}

TEST(StreamRules, AnAcknowledgementOfUnseenBytesIsBelievedWhereItIsToBe) {
  for (const bool trusted : {false, true}) {
    Stream ftp(kFtp);
    ftp.output.limits.trust_acknowledgements = trusted;
    ftp.send(0, {.seq = 0, .ack = 1, .flags = 0x18, .data = "hello "});
    ftp.send(1, {.seq = 1, .ack = 50, .flags = 0x10});
    EXPECT_EQ(ftp.output.advanced_back, trusted);
    EXPECT_EQ(ftp.send(0, {.seq = 50, .ack = 1, .flags = 0x18, .data = "x\r\n"}),
              trusted ? StreamAction::kPass : StreamAction::kHold);
  }
}

TEST(StreamRules, ADatagramIsEditedByTheSameStep) {
  const Parsed parsed = parse_rules(R"(
[[rule]]
match = { dst-port = 1 }
steps = [{ replace = '(?i)hello', with = 'good morning' }]
on-miss = "drop"
)",
                                    "f.toml");
  ASSERT_TRUE(parsed.ok());
  std::vector<Diagnostic> diagnostics;
  const auto program = compile(parsed.set, &diagnostics);
  ASSERT_TRUE(program);
  for (const auto& [before, after] :
       {std::pair("Hello, hello", "good morning, good morning"), std::pair("bye", "")}) {
    const auto text = std::as_bytes(std::span(before, std::strlen(before)));
    testing::ByteVector bytes = testing::PacketBuilder("10.0.0.1", "10.0.0.2")
                                    .udp(1, 1)
                                    .payload({text.begin(), text.end()})
                                    .build()
                                    .bytes;
    const size_t size = bytes.size();
    bytes.resize(2000);
    Packet packet = parse(std::span(bytes).first(size));
    packet.capacity = 2000;
    Metadata metadata{.family = packet.family};
    ProgramCounters counters;
    std::vector<RuleCounters> rules(1);
    ProgramState state{.counters = &counters, .rules = rules, .log = nullptr};
    const Outcome outcome = program->apply(packet, metadata, state);
    EXPECT_EQ(outcome.verdict, *after == '\0' ? Verdict::kDrop : Verdict::kAccept);
    if (*after == '\0') continue;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(packet.data + packet.payload),
                          packet.size - packet.payload),
              after);
  }
}

TEST(StreamRules, ADatagramWithoutRoomForAllEditsKeepsAllItsBytes) {
  const Parsed parsed = parse_rules(R"(
[[rule]]
match = { dst-port = 1 }
steps = [{ replace = '(a)aaa|(b)', with = '$1$2$2$2$2' }]
)",
                                    "f.toml");
  ASSERT_TRUE(parsed.ok());
  std::vector<Diagnostic> diagnostics;
  const auto program = compile(parsed.set, &diagnostics);
  ASSERT_TRUE(program);
  for (const uint32_t room : {0u, 3u, 6u}) {
    // The last and the first edit give six bytes back, those between them want six.
    const std::string text = "aaaa b b aaaa";
    const auto payload = std::as_bytes(std::span(text));
    testing::ByteVector bytes = testing::PacketBuilder("10.0.0.1", "10.0.0.2")
                                    .udp(1, 1)
                                    .payload({payload.begin(), payload.end()})
                                    .build()
                                    .bytes;
    const size_t size = bytes.size();
    const testing::ByteVector before = bytes;
    bytes.resize(2000);
    Packet packet = parse(std::span(bytes).first(size));
    packet.capacity = static_cast<uint32_t>(size) + room;
    Metadata metadata{.family = packet.family};
    ProgramCounters counters;
    std::vector<RuleCounters> rules(1);
    ProgramState state{.counters = &counters, .rules = rules, .log = nullptr};
    const Outcome outcome = program->apply(packet, metadata, state);
    EXPECT_EQ(outcome.changed, room == 6);
    EXPECT_EQ(rules[0].misses, room == 6 ? 0u : 1u);
    if (room < 6) {
      EXPECT_TRUE(std::equal(before.begin(), before.end(), bytes.begin()));
      continue;
    }
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(packet.data + packet.payload),
                          packet.size - packet.payload),
              "a bbbb bbbb a");
  }
}

}  // namespace
}  // namespace fettle
