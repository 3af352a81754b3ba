// TCP streams case by case (stream_script.h): what leaves is worked out from RFC 9293, 2018, 2883
// and 5961, and from stream.h. The table cases are played with 2^32 at each of their first bytes.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/packet_builder.h"
#include "tests/stream_script.h"

namespace fettle::testing {
namespace {

struct Case {
  const char* name;
  const char* script;
  StreamTable::Size size = kScriptSize;
};

void play_all(std::span<const Case> cases) {
  for (const Case& one : cases) {
    for (uint32_t wrap = 0; wrap < 48 && !::testing::Test::HasFailure(); ++wrap) {
      SCOPED_TRACE(one.name + (": 2^32 at " + std::to_string(wrap)));
      StreamScript(one.size, wrap).play(one.script);
    }
  }
}

TEST(StreamCases, AResetIsWhereItsReceiverStands) {
  static constexpr Case kCases[] = {{"behind an edit", R"(
open
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
0> RA 6 1 = pass RA 33 1
1> RA 1 33 = pass RA 1 6)"},
                                    {"behind an edit that is acknowledged and forgotten", R"(
open
0> PA 1 1 SHRINK. = replace PA 1 1 s.
1> A 1 3 = pass A 1 8
count edits-free 64
0> RA 8 1 = pass RA 3 1)"},
                                    {"without ACK: its acknowledgement means nothing", R"(
open
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
1> PA 1 33 SHRINK. = replace PA 1 6 s.
0> R 6 0 = pass R 33 0
1> R 8 0 = pass R 3 0)"},
                                    {"beyond a hole: not the last byte decided, as it resets", R"(
open
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
0> A 100 1 = pass A 33 1
0> RA 100 1 = pass RA 127 1)"}};
  play_all(kCases);
}

TEST(StreamCases, UrgentDataEndsWithTheSameByte) {
  static constexpr Case kCases[] = {{"an edit that grows", R"(
open
0> PAU 1 1 ab.GROW. urg=2 = replace PAU 1 1 ab.a-longer-replacement-that-grows. urg=2
0> PAU 1 1 ab.GROW. urg=5 = replace PAU 1 1 ab.a-longer-replacement-that-grows. urg=5
0> PAU 1 1 ab.GROW. urg=7 = replace PAU 1 1 ab.a-longer-replacement-that-grows. urg=34
0> PAU 1 1 ab.GROW. urg=8 = replace PAU 1 1 ab.a-longer-replacement-that-grows. urg=35)"},
                                    {"one that shrinks, and a deletion", R"(
open
0> PAU 1 1 ab.SHRINK. urg=2 = replace PAU 1 1 ab.s. urg=2
0> PAU 1 1 ab.SHRINK. urg=6 = replace PAU 1 1 ab.s. urg=4
0> PAU 1 1 ab.SHRINK. urg=10 = replace PAU 1 1 ab.s. urg=5
0> PAU 11 1 ab.del. urg=5 = replace PAU 6 1 ab.. urg=3
0> PAU 11 1 ab.del. urg=7 = replace PAU 6 1 ab.. urg=4)"},
                                    {"an insertion goes with the byte behind it", R"(
open
0> PAU 1 1 ab.I!. urg=3 = replace PAU 1 1 ab.<inserted>I!. urg=3
0> PAU 1 1 ab.I!. urg=4 = replace PAU 1 1 ab.<inserted>I!. urg=14)"},
                                    {"it ends in a later segment", R"(
open
0> PAU 1 1 ab. urg=8 = pass PAU 1 1 ab. urg=8
0> PA 4 1 GROW. = replace PA 4 1 a-longer-replacement-that-grows.
0> PAU 1 1 ab. urg=8 = pass PAU 1 1 ab. urg=35)"},
                                    {"in pieces: in each up to its end", R"(
open
room 20
0> PAU 1 1 GROW. urg=5 = replace AU 1 1 a-longer-replacement urg=32 | PAU 21 1 -that-grows. urg=12
0> PAU 1 1 GROW. urg=2 = replace AU 1 1 a-longer-replacement urg=2 | PA 21 1 -that-grows.)"}};
  play_all(kCases);
}

TEST(StreamCases, AFinStandsBehindTheLastByte) {
  static constexpr Case kCases[] = {{"with edited data; the other side goes on after it", R"(
open
0> FPA 1 1 GROW. = replace FPA 1 1 a-longer-replacement-that-grows.
1> A 1 34 = pass A 1 7
1> PA 1 34 xSHRINK. = replace PA 1 7 xs.
0> A 7 4 = pass A 34 9
1> FA 9 34 = pass FA 4 7
0> A 7 5 = pass A 34 10)"},
                                    {"alone", R"(
open
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
0> FA 6 1 = pass FA 33 1
1> A 1 33 = pass A 1 6
1> A 1 34 = pass A 1 7)"},
                                    {"with data that goes", R"(
open
0> FA 1 1 del = replace FA 1 1
1> A 1 2 = pass A 1 5)"},
                                    {"it overtook all data", R"(
0> S 0 0 = untracked S 0 0
1> SA 0 1 = untracked SA 0 1
0> FA 6 1 = hold early
0> FPA 1 1 GROW. = replace FPA 1 1 a-longer-replacement-that-grows.
0> FA 6 1 = pass FA 33 1)"},
                                    {"no more bytes join a tail", R"(
open
0> A 1 1 GROWxGRO = hold tail
0> FA 9 1 = pass FA 36 1
0> A 1 1 GROWxGRO = replace A 1 1 a-longer-replacement-that-growsxGRO)"},
                                    {"a segment that is withheld whole waits from now on", R"(
open
now 100000
0> PA 1 1 GR = hold tail
now 100030
0> PA 1 1 GR = hold tail
0> PA 3 1 OW = replace PA 3 1 longer-replacement-that-grows
0> PA 1 1 GR = replace PA 1 1 a-)"},
                                    {"what it ends was cut", R"(
open
0> A 1 1 GR = hold tail
0> FPA 3 1 OW = replace FPA 3 1 longer-replacement-that-grows
0> A 1 1 GR = replace A 1 1 a-)"}};
  play_all(kCases);
}

TEST(StreamCases, ProbesAndOldSegmentsAreAnswered) {
  static constexpr Case kCases[] = {{"a keep-alive and a probe behind a deletion", R"(
open
0> PA 1 1 ab.del = replace PA 1 1 ab.
0> A 6 1 = pass A 3 1
0> A 6 1 z = replace A 3 1
1> A 1 4 = pass A 1 7
0> A 6 1 = pass A 3 1
0> A 7 1 z = pass A 4 1 z)"},
                                    {"behind an insertion", R"(
open
0> PA 1 1 ab.I! = replace PA 1 1 ab.<inserted>I!
0> A 5 1 = pass A 15 1
0> A 5 1 z = pass A 15 1 z
0> A 6 1 z = pass A 16 1 z)"},
                                    {"behind a replacement that grew: all of its last byte", R"(
open
0> PA 1 1 GROW = replace PA 1 1 a-longer-replacement-that-grows
0> A 4 1 = pass A 4 1
0> A 4 1 z = replace A 4 1 onger-replacement-that-grows
0> A 5 1 z = pass A 32 1 z)"},
                                    {"a segment that an edit empties", R"(
open
0> PA 1 1 del = replace PA 0 1
1> A 1 1 = pass A 1 4)"},
                                    {"acknowledged in the middle, and beyond what was sent", R"(
open
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
1> A 1 500 = pass A 1 473
1> A 1 10 = pass A 1 4
0> PA 4 1 W. = replace PA 4 1 onger-replacement-that-grows.)"},
                                    {"new bytes behind forgotten edits", R"(
open
0> PA 1 1 ab.GROW. = replace PA 1 1 ab.a-longer-replacement-that-grows.
1> A 1 36 = pass A 1 9
0> PA 1 1 ab.GROW.cd. = pass PA 28 1 ab.GROW.cd.)"}};
  play_all(kCases);
}

TEST(StreamCases, PortsUsedAgainAreAnotherConnection) {
  static constexpr Case kCases[] = {{"a SYN that nobody answers, or with other numbers", R"(
open
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
1> SA 0 1 = untracked SA 0 1
0> S 700 0 = untracked S 700 0
1> SA 900 5 = untracked SA 900 5
0> PA 6 1 x. = pass PA 33 1 x.)"},
                                    {"a handshake", R"(
open
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
0> S 700 0 = untracked S 700 0
1> SA 900 701 = untracked SA 900 701
count edits-free 64
0> A 701 901 = pass A 701 901
0> PA 701 901 GROW. = replace PA 701 901 a-longer-replacement-that-grows.
count entered 2)"}};
  play_all(kCases);
}

TEST(StreamCases, WithoutRoomNothingChanges) {
  static constexpr Case kCases[] = {{"no edit record, until one is acknowledged",
                                     R"(
open
0> PA 1 1 GROW.GROW. = cannot room
count edits-free 1
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
0> PA 6 1 GROW. = cannot room
1> PA 1 33 GROW. = cannot room
1> PA 1 33 GROW. = replace PA 1 6 a-longer-replacement-that-grows.)",
                                     {.connections = 8, .edits = 1, .chunks = 9, .handshakes = 8}},
                                    {"no chunks: given up, for good",
                                     R"(
open
0> PA 1 1 xyz123. = cannot room
count chunks-free 1
count edits-free 9
give-up 1
0> PA 1 1 xyz123. = pass PA 1 1 xyz123.
give-up 0
0> PA 1 1 xyz123. = pass PA 1 1 xyz123.
count given-up 1
0> PA 8 1 SHRINK.GRO = replace PA 8 1 s.GRO
count given-up 2)",
                                     {.connections = 8, .edits = 9, .chunks = 1, .handshakes = 8}}};
  play_all(kCases);
}

TEST(StreamCases, PiecesFit) {
  static constexpr Case kCases[] = {{"PSH and FIN are the last one's, CWR the first one's", R"(
open
room 20
0> FPAC 1 1 ab.I!.I!. = replace AC 1 1 ab.<inserted>I!.<ins | FPA 21 1 erted>I!.
1> A 1 31 = pass A 1 11)"},
                                    {"one can be sent: the sender repeats the rest", R"(
open
room 20
pieces 1
0> FPA 1 1 ab.I!.I!.ef. = replace part A 1 1 ab.<inserted>I!.<ins
1> A 1 21 = pass A 1 7
0> FPA 7 1 I!.ef. = replace FPA 17 1 <inserted>I!.ef.)"},
                                    {"what does not fit into the one is refused", R"(
open
room 20
pieces 1
0> PA 1 1 GROW. = pass PA 1 1 GROW.
count refused-edits 1
1> A 1 6 = pass A 1 6
0> PA 6 1 I!. = replace PA 6 1 <inserted>I!.)"},
                                    {"GSO of one segment is none", R"(
open
gso 20
0> PA 1 1 SHRINK.123456789012345678 = drop gso
0> PA 1 1 SHRINK.1234567890123456789 = replace PA 1 1 s.1234567890123456789
gso 0
0> PA 1 1 SHRINK.123456789012345678 = replace PA 1 1 s.123456789012345678)"},
                                    {"a wrong checksum is not repaired, a right one not broken", R"(
open
bad 5
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
1> A 1 33 = pass A 1 6
room 20
0> PA 6 1 GROW. = replace A 33 1 a-longer-replacement | PA 53 1 -that-grows.
0> PA 11 1 x. = pass PA 65 1 x.)"},
                                    {"where no checksum can be written", R"(
open
immutable 1
0> PA 1 1 GROW. = drop immutable
0> PA 6 1 x. = drop immutable)"}};
  play_all(kCases);
}

TEST(StreamCases, SackBlocksNameWholeOriginalBytes) {
  static constexpr Case kCases[] = {{"at both sides of a replacement, and within it", R"(
open
0> PA 1 1 ab.GROW.cd. = replace PA 1 1 ab.a-longer-replacement-that-grows.cd.
1> A 1 1 sack=2:4 = pass A 1 1 sack=2:4
1> A 1 1 sack=35:39 = pass A 1 1 sack=8:12
1> A 1 1 sack=4:35 = pass A 1 1 sack=4:8
1> A 1 1 sack=5:20 = pass A 1 1 sack=5:7
1> A 1 1 sack=7:35 = pass A 1 1 sack=7:8
1> A 1 1 sack=3:5,30:37 = pass A 1 1 sack=3:5,8:10
1> A 1 1 sack=10:20 = pass A 1 1
1> A 1 1 sack=10:20,36:39 = pass A 1 1 sack=9:12
count sack-dropped 2)"},
                                    {"at both sides of a deletion", R"(
open
0> PA 1 1 ab.del.cd. = replace PA 1 1 ab..cd.
1> A 1 1 sack=2:4 = pass A 1 1 sack=2:7
1> A 1 1 sack=4:8 = pass A 1 1 sack=4:11
1> A 1 1 sack=5:8 = pass A 1 1 sack=8:11)"},
                                    {"D-SACK stays below what is acknowledged", R"(
open
0> PA 1 1 ab.GROW.cd. = replace PA 1 1 ab.a-longer-replacement-that-grows.cd.
1> A 1 5 sack=1:4,35:39 = pass A 1 5 sack=1:4,8:12
1> A 1 39 = pass A 1 12
1> A 1 39 sack=4:35 = pass A 1 12 sack=-23:8)"}};
  play_all(kCases);
}

TEST(StreamCases, AFloodOfSynsPushesNothingOut) {
  StreamScript box;
  box.play("open\n0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.");
  std::mt19937_64 random(1);
  for (uint32_t i = 0; i < 100'000; ++i) {
    const std::string syn = "S " + std::to_string(pick(random, 1u << 31)) + " 0";
    box.play("connection " + std::to_string(2 + pick(random, 1u << 28)));
    box.play("0> " + syn + " = untracked " + syn);
  }
  box.play(R"(count entered 1
count connections 1
connection 1
0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.
0> PA 6 1 x. = pass PA 33 1 x.)");
}

// Eight connections are one set: six that stay, and of `first` and `second` one must go.
struct Aged {
  const char* first;
  uint32_t first_age;
  const char* second;
  uint32_t second_age;
  uint32_t gone;  // 0: none
};

TEST(StreamCases, WhoGivesWay) {
  static constexpr const char* kOneSided = "0> A 1 1 . = pass A 1 1 .\n";
  static constexpr const char* kShaken = "open\n";
  static constexpr const char* kBoth = "open\n1> A 1 1 = pass A 1 1\n";
  static constexpr const char* kReset = "open\n1> RA 1 1 = pass RA 1 1\n";
  static constexpr const char* kFins = "open\n0> FA 1 1 = pass FA 1 1\n1> FA 1 2 = pass FA 1 2\n";
  static constexpr const char* kForged = "open\n1> A 1 1 = pass A 1 1\n1> R 900 0 = pass R 900 0\n";
  constexpr uint32_t kDay = 86'400'000;
  static constexpr const char* kHalf = "open\n0> FA 1 1 = pass FA 1 1\n";
  for (const Aged& row : {Aged{kOneSided, 1, kReset, 2, 2},
                          {kOneSided, 2, kReset, 1, 1},
                          {kOneSided, 59'999, kReset, 120'001, 2},
                          {kShaken, kDay, kOneSided, 1, 2},
                          {kShaken, kDay, kFins, 1, 2},
                          {kHalf, 120'000, kOneSided, 1, 2},
                          {kHalf, 120'001, kOneSided, 60'000, 1},
                          {kOneSided, 60'000, kFins, 120'001, 2},
                          {kFins, 5, kReset, 6, 2},
                          {kOneSided, 120'002, kFins, 120'001, 1},
                          {kBoth, kDay, kFins, 1, 2},
                          {kBoth, 5 * kDay, kBoth, 5 * kDay, 0},
                          {kBoth, 5 * kDay + 1, kFins, 1, 1},
                          {kBoth, kDay, kOneSided, 1, 2},
                          {kForged, kDay, kFins, 1, 2}}) {
    SCOPED_TRACE(std::to_string(row.first_age) + "|" + std::to_string(row.second_age));
    StreamScript box({.connections = 8, .edits = 8, .chunks = 8, .handshakes = 64});
    const auto at = [&](uint32_t number, uint32_t age, const std::string& script) {
      box.play("connection " + std::to_string(number) + "\nnow " + std::to_string(1000u - age));
      box.play(script);
    };
    at(1, row.first_age, row.first);
    at(2, row.second_age, row.second);
    for (uint32_t i = 3; i < 9; ++i) at(i, 0, kBoth);
    const std::string text = row.gone == 0 ? "untracked" : "replace";
    at(9, 0, "0> PA 1 1 SHRINK. = " + text + " PA 1 1 " + (row.gone == 0 ? "SHRINK." : "s."));
    box.play("enter 0\ncount full " + std::to_string(row.gone == 0));
    box.play("count evicted " + std::to_string(row.gone != 0));
    for (const uint32_t i : {1u, 2u})
      at(i, 0, std::string("0> A 1 1 = ") + (row.gone == i ? "untracked" : "pass") + " A 1 1");
  }
}

// Two that begin at the same time, in a set full of connections that have just ended: each of them
// would be entered in the other's place again and again, and forget the edits of its one end before
// the other end's acknowledgement came.
TEST(StreamCases, TwoThatBeginDoNotPushEachOtherOut) {
  StreamScript box({.connections = 8, .edits = 8, .chunks = 8, .handshakes = 64});
  for (uint32_t i = 3; i < 11; ++i) {
    box.play("connection " + std::to_string(i));
    box.play("open\n0> FA 1 1 = pass FA 1 1\n1> FA 1 2 = pass FA 1 2");
  }
  for (const char* step :
       {"0> S 0 0 = untracked S 0 0", "1> SA 0 1 = untracked SA 0 1", "0> A 1 1 = pass A 1 1",
        "0> PA 1 1 GROW. = replace PA 1 1 a-longer-replacement-that-grows.",
        "1> A 1 33 = pass A 1 6", "1> PA 1 33 SHRINK. = replace PA 1 6 s.",
        "0> A 6 3 = pass A 33 8"}) {
    for (const uint32_t i : {1u, 2u}) {
      SCOPED_TRACE(i);
      box.play("connection " + std::to_string(i));
      box.play(step);
    }
  }
  box.play("count entered 10\ncount evicted 2");
}

// Of a connection that had no place data have passed: they are no hole that its FIN would have to
// wait for.
TEST(StreamCases, WhatPassedWithoutAPlaceIsNotWaitedFor) {
  StreamScript box({.connections = 8, .edits = 8, .chunks = 8, .handshakes = 64});
  for (uint32_t i = 1; i < 9; ++i) {
    box.play("connection " + std::to_string(i));
    box.play("open");
  }
  box.play(R"(
connection 9
0> S 0 0 = untracked S 0 0
1> SA 0 1 = untracked SA 0 1
0> PA 1 1 GROW. = untracked PA 1 1 GROW.
connection 1
0> FA 1 1 = pass FA 1 1
1> FA 1 2 = pass FA 1 2
connection 9
0> FA 6 1 = untracked FA 6 1
count full 1)");
}

TEST(StreamCases, WhatIsNoStreamToEditPassesAsItIs) {
  for (const char* kind : {"19", "29"}) {  // TCP-MD5, TCP-AO: an option of 18 bytes
    StreamScript box;
    box.play(std::string("option ") + kind);
    box.play("0> PA 1 1 GROW. sack=1:2,3:4 = untracked PA 1 1 GROW.\ncount connections 0");
  }
  const ByteVector data(64, std::byte{'.'});
  const PacketBuilder tcp = PacketBuilder("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(data);
  const auto [first, later] = split(tcp.build(), 32);
  Built cut = tcp.build();
  cut.bytes.resize(30);
  for (const Built& built :
       {first, later, cut, PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).payload(data).build(),
        PacketBuilder("fe80::1", "fe80::2").icmp(128, 0).build()}) {
    StreamScript box;
    EXPECT_EQ(box.process(built.bytes), StreamAction::kUntracked);
    box.play("count connections 0");
  }
}

}  // namespace
}  // namespace fettle::testing
