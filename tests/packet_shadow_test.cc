// A worker's shadow: each packet leaves as it came, is counted as what the rules would have made of
// it, and is told of in the log.
#include "workers/packet_shadow.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>
#include <thread>

#include "core/bytes.h"
#include "core/stream_layout.h"
#include "tests/packet_loop_fixture.h"
#include "tests/stream_wire.h"

namespace fettle {
namespace {

constexpr const char* kRules = R"(
[[rule]]
name = "gone"
match = { protocol = "udp", dst-port = 1 }
steps = ["drop"]
[[rule]]
name = "zed"
match = { protocol = "udp", dst-port = 2 }
steps = [{ write = "7a", at = 0 }]
[[rule]]
name = "twice"
match = { protocol = "udp", dst-port = [2, 3] }
steps = [{ mark = "0x5" }, { insert = "7879", at = 4 }]
[[rule]]
name = "late"
match = { protocol = "udp", dst-port = 4 }
steps = [{ delay = "20ms" }]
[[rule]]
name = "beyond"
match = { protocol = "udp", dst-port = 5 }
on-miss = "drop"
steps = [{ write = "7a", at = 900 }]
[[rule]]
name = "away"
match = { protocol = "udp", dst-port = 6 }
steps = [{ queue = 77 }]
)";

constexpr uint16_t kEach[] = {1, 2, 3, 4, 5, 6, 9};

class PacketShadowTest : public PacketLoopTest {
 protected:
  void SetUp() override {
    heritage_.options.shadow = true;
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(log_)));
    spdlog::set_pattern("%v");
  }
  void TearDown() override {
    loop_.reset();
    PacketLoopTest::TearDown();
  }
  // A turn's lines.
  std::string lines() {
    log_.str("");
    EXPECT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
    return log_.str();
  }

  std::ostringstream log_;
};

TEST_F(PacketShadowTest, WhateverTheRulesSayAPacketIsAcceptedAsItCame) {
  start(kRules, 16);
  uint32_t id = 1;
  for (const uint16_t port : kEach) deliver(id++, port);
  lines();
  EXPECT_EQ(reply(), "batch 7:1") << "no payload, no mark, no drop, nothing held";
  EXPECT_EQ(reply(), std::nullopt);
}

TEST_F(PacketShadowTest, ItIsCountedAsTheRulesWouldHaveIt) {
  start(kRules, 16);
  uint32_t id = 1;
  for (const uint16_t port : kEach) deliver(id++, port);
  lines();
  const ProgramCounters& counters = page_.program[0];
  EXPECT_EQ(counters.packets, 7u);
  EXPECT_EQ(counters.bytes, 7 * 32u);
  EXPECT_EQ(counters.changed, 2u);
  EXPECT_EQ(counters.dropped, 2u);
  EXPECT_EQ(counters.accepted, 4u);
  EXPECT_EQ(counters.requeued, 1u);
  EXPECT_EQ(page_.loop.held, 1u);
  EXPECT_EQ(rules_[2].hits, 2u);
  EXPECT_EQ(rules_[4].misses, 1u);
}

TEST_F(PacketShadowTest, ALineSaysWhichRulesWhatPacketAndWhichBytes) {
  start(kRules, 16);
  deliver(1, 2);
  const std::string found = lines();
  EXPECT_NE(found.find("queue 5: shadow: rules \"zed\", \"twice\": hook forward IPv4 "
                       "10.0.0.1:1000 > 10.0.0.2:2 UDP 4 bytes, ttl 64: would change 1 byte at 3: "
                       "20 -> 22"),
            std::string::npos)
      << found;
  EXPECT_NE(found.find(" at 25: 0c"), std::string::npos) << "UDP's length" << found;
  EXPECT_NE(found.find("4 at 28 to 6: 61626364 -> 7a6263647879"), std::string::npos) << found;
  EXPECT_NE(found.find(", mark 0x0 -> 0x5\n"), std::string::npos) << found;
}

TEST_F(PacketShadowTest, VerdictsAndDelaysHaveLinesAndTheRestHasNone) {
  start(kRules, 16);
  uint32_t id = 1;
  for (const uint16_t port : kEach) {
    if (port != 2 && port != 3) deliver(id++, port);
  }
  const std::string found = lines();
  EXPECT_EQ(std::ranges::count(found, '\n'), 4);
  EXPECT_NE(found.find("rule \"gone\": hook forward IPv4 10.0.0.1:1000 > 10.0.0.2:1 UDP 4 bytes, "
                       "ttl 64: would drop it\n"),
            std::string::npos)
      << found;
  EXPECT_NE(found.find(": would delay 20ms\n"), std::string::npos) << found;
  EXPECT_NE(found.find("rule \"beyond\""), std::string::npos) << "its miss is the verdict" << found;
  EXPECT_NE(found.find(": would send to queue 77\n"), std::string::npos) << found;
}

TEST_F(PacketShadowTest, WhatNoRuleMatchesMayBeDropped) {
  start(
      "[defaults]\nverdict = \"drop\"\n[[rule]]\nmatch = { dst-port = 1 }\nsteps = [\"accept\"]\n");
  deliver(1, 9);
  EXPECT_NE(lines().find("shadow: no rule: hook forward IPv4 10.0.0.1:1000 > 10.0.0.2:9 UDP 4 "
                         "bytes, ttl 64: would drop it\n"),
            std::string::npos);
  EXPECT_EQ(reply(), "one 1:1");
}

TEST_F(PacketShadowTest, InMetadataModeALineHasWhatTheKernelSays) {
  start("[defaults]\nverdict = \"drop\"\n");
  deliver(1, 9);
  EXPECT_EQ(lines(), "queue 5: shadow: no rule: hook forward: would drop it\n");
  EXPECT_EQ(reply(), "one 1:1");
}

TEST_F(PacketShadowTest, LinesAreBoundedAndTheRestIsCounted) {
  start(kRules, 64);
  uint32_t id = 1;
  for (int batch = 0; batch < 3; ++batch) {
    for (int i = 0; i < 60; ++i) deliver(id++, 1);
    const auto count = std::ranges::count(lines(), '\n');
    EXPECT_EQ(count, batch == 0 ? 50 : 0);
  }
  EXPECT_EQ(page_.program[0].dropped, 180u);
}

TEST_F(PacketShadowTest, AnotherSecondHasItsLines) {
  start(kRules, 64);
  uint32_t id = 1;
  for (uint32_t i = 0; i < LineLimit::kLinesPerSecond; ++i) deliver(id++, 1);
  EXPECT_EQ(std::ranges::count(lines(), '\n'), LineLimit::kLinesPerSecond);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_EQ(loop_->turn(false), PacketLoop::Turn::kIdle);
  deliver(id++, 1);
  EXPECT_EQ(std::ranges::count(lines(), '\n'), 1);
}

TEST_F(PacketShadowTest, ADeadWorkersPacketsPassWhateverIsAskedForThem) {
  heritage_.options.on_crash = Verdict::kDrop;
  auto slots = SharedMemory::create(Inbox::bytes(16));
  ASSERT_TRUE(slots);
  heritage_.slots = slots->bytes();
  start(kRules, 16);
  Inbox inbox(slots->bytes(), 16);
  inbox.begin();
  const auto datagram = queued(7, udp_packet(2));
  std::span<std::byte> bytes = inbox.place(std::as_bytes(std::span(datagram)));
  InHand& hand = inbox.hold(decode(bytes).packet);
  enter(hand, Stage::kInHand);
  inbox.read_up_to(1);
  ASSERT_TRUE(loop_->recover(heritage_));
  EXPECT_EQ(reply(), "one 7:1");
  EXPECT_EQ(page_.loop.given_up, 1u);
}

// ---- TCP streams ----

constexpr const char* kStreams = R"(
[[rule]]
name = "longer"
match = { protocol = "tcp", dst-port = 21 }
steps = [{ replace = 'secret', with = 'a longer word' }]
)";

class StreamShadowTest : public PacketShadowTest {
 protected:
  void begin_streams() {
    const StreamTable::Size size{.connections = 8, .edits = 64, .chunks = 64, .handshakes = 8};
    memory_ = std::move(*SharedMemory::create(StreamTable::bytes(size)));
    StreamTable::format(memory_.bytes(), size, {});
    heritage_.streams = memory_.bytes();
    start(kStreams, 16);
  }
  // Bytes from the client, or an acknowledgement from the server.
  void send(uint32_t direction, const testing::Wire& wire) {
    deliver(queued(++id_, testing::build(wire, false, 1, direction)));
  }

  SharedMemory memory_;
  uint32_t id_ = 0;
};

TEST_F(StreamShadowTest, AnEditOfAnotherLengthIsFoundAndNothingIsShifted) {
  begin_streams();
  send(0, {.seq = 1000, .ack = 5000, .flags = 0x18, .data = "my secret.\r\n"});
  const std::string found = lines();
  EXPECT_EQ(reply(), "one 1:1");
  EXPECT_NE(found.find("rule \"longer\""), std::string::npos) << found;
  EXPECT_NE(found.find(": its stream would change"), std::string::npos) << found;
  EXPECT_NE(found.find("to 13: 736563726574 -> 61206c6f6e67657220776f7264"), std::string::npos)
      << found;
  send(1, {.seq = 5000, .ack = 1012, .flags = 0x10});
  send(0, {.seq = 1012, .ack = 5000, .flags = 0x18, .data = "no more.\r\n"});
  EXPECT_EQ(lines(), "") << "shifts are counted alone";
  EXPECT_EQ(reply(), "batch 3:1");
  EXPECT_EQ(page_.loop.stream_edited, 1u);
  EXPECT_EQ(page_.program[0].changed, 3u);
  EXPECT_EQ(page_.program[0].dropped, 0u);
}

// The receiver acknowledges what live it would not have: the segment was to wait.
TEST_F(StreamShadowTest, AMatchThatTwoSegmentsShareIsFoundAndNeitherWaits) {
  begin_streams();
  send(0, {.seq = 1000, .ack = 5000, .flags = 0x18, .data = "my sec"});
  EXPECT_EQ(lines(), "");
  EXPECT_EQ(reply(), "one 1:1");
  EXPECT_EQ(page_.loop.stream_held, 1u);
  send(1, {.seq = 5000, .ack = 1006, .flags = 0x10});
  send(0, {.seq = 1006, .ack = 5000, .flags = 0x18, .data = "ret.\r\n"});
  const std::string found = lines();
  EXPECT_EQ(reply(), "batch 3:1") << "those that wait in it have their verdict, once";
  EXPECT_EQ(std::ranges::count(found, '\n'), 2) << found;
  EXPECT_EQ(page_.loop.stream_edited, 2u);
  EXPECT_EQ(page_.program[0].accepted, 3u);
}

// Live, their sender would have been made to wait.
TEST_F(StreamShadowTest, WhatFindsNoRoomToWaitIsDecidedAndNotCalledDropped) {
  heritage_.options.settings.length = 4;  // and so many places
  begin_streams();
  for (uint32_t i = 9; i > 0; --i) {  // the first comes last
    send(0, {.seq = 1000 + 10 * i, .ack = 5000, .flags = 0x18, .data = "a secret.\n"});
  }
  send(0, {.seq = 1000, .ack = 5000, .flags = 0x18, .data = "the first\n"});
  lines();
  EXPECT_EQ(reply(), "batch 10:1");
  loop_->finish();
  EXPECT_EQ(page_.program[0].accepted, 10u);
  EXPECT_EQ(page_.program[0].dropped, 0u);
  EXPECT_EQ(page_.loop.not_held, 0u);
  EXPECT_GT(page_.loop.stream_edited, 0u);
}

// It has its verdict, and holds up none of those that a dead worker had read.
TEST_F(StreamShadowTest, WhatWaitsKeepsNoOrphanBack) {
  begin_streams();
  send(0, {.seq = 1000, .ack = 5000, .flags = 0x18, .data = "my sec"});
  lines();
  EXPECT_EQ(reply(), "one 1:1");
  loop_->release_orphans(5, kNfAccept);
  EXPECT_EQ(reply(), "batch 5:1");
}

TEST_F(StreamShadowTest, WhatComesOutOfOrderIsDecidedInItsOrder) {
  begin_streams();
  send(0, {.seq = 1000, .ack = 5000, .flags = 0x18, .data = "first "});
  send(0, {.seq = 1012, .ack = 5000, .flags = 0x18, .data = "et.\r\n"});
  send(0, {.seq = 1006, .ack = 5000, .flags = 0x18, .data = "a secr"});
  lines();
  EXPECT_EQ(reply(), "batch 3:1");
  EXPECT_EQ(page_.loop.stream_held, 2u) << "for the hole, and for the end of a match";
  EXPECT_EQ(page_.loop.stream_edited, 2u);
  loop_->finish();
  EXPECT_EQ(page_.program[0].accepted, 3u);
  EXPECT_EQ(page_.program[0].dropped, 0u);
}

TEST_F(StreamShadowTest, WhatStillWaitsAtTheEndIsDecidedAsItIs) {
  begin_streams();
  send(0, {.seq = 1000, .ack = 5000, .flags = 0x18, .data = "my "});
  send(0, {.seq = 1020, .ack = 5000, .flags = 0x18, .data = "the secret"});
  lines();
  EXPECT_EQ(page_.loop.stream_edited, 0u);
  loop_->finish();
  EXPECT_EQ(reply(), "batch 2:1");
  EXPECT_EQ(reply(), std::nullopt);
  EXPECT_EQ(page_.loop.stream_edited, 1u);
  EXPECT_EQ(page_.loop.stream_dropped, 0u);
  EXPECT_EQ(page_.program[0].accepted, 2u);
}

}  // namespace
}  // namespace fettle
