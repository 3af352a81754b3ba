// A worker that ends anywhere, and its successor over the same memory.
#include <random>

#include "core/shared_memory.h"
#include "tests/packet_loop_fixture.h"
#include "workers/inbox.h"
#include "workers/packet_holding.h"

namespace fettle {
namespace {

constexpr uint32_t kBatch = 4;
constexpr const char* kRules = R"(
[[rule]]
match = { protocol = "udp", dst-port = 1 }
steps = ["drop"]
[[rule]]
match = { protocol = "udp", dst-port = 2 }
steps = [{ write = "7a", at = 0 }]
[[rule]]
match = { protocol = "udp", dst-port = 3 }
steps = [{ write = "7a", at = 0 }, { delay = "10s" }]
)";

class PacketRecoveryTest : public PacketLoopTest {
 protected:
  void begin() {
    heritage_.options.batch = kBatch;
    heritage_.options.settings.length = 8;
    slots_ = std::move(*SharedMemory::create(slots_size(heritage_.options)));
    heritage_.slots = slots_.bytes();
    held_ = std::move(*SharedMemory::create(1 << 20));
    heritage_.held = held_.bytes();
    start(kRules, kBatch);
  }
  // The worker reads what is there and can tell nobody its verdicts.
  void die_before_the_reply() {
    close(std::exchange(sockets_[1], -1));
    ASSERT_EQ(loop_->turn(true), PacketLoop::Turn::kBroken);
    loop_.reset();
  }
  // As another process has it: elsewhere in its memory.
  static void move(SharedMemory& memory, std::span<std::byte>& heritage) {
    auto moved = SharedMemory::adopt(dup(memory.fd()));
    ASSERT_TRUE(moved);
    ASSERT_NE(moved->data(), memory.data());
    memory = std::move(*moved);
    heritage = memory.bytes();
  }
  void move_all() {
    move(slots_, heritage_.slots);
    move(held_, heritage_.held);
  }
  std::string recover() {
    connect();
    auto loop = PacketLoop::create(heritage_);
    EXPECT_TRUE(loop);
    loop_ = std::move(*loop);
    EXPECT_TRUE(loop_->recover(heritage_));
    return reply().value_or("nothing");
  }
  Inbox inbox() const { return {slots_.bytes(), kBatch}; }
  SharedMemory slots_, held_;
};

TEST_F(PacketRecoveryTest, WhatWasDecidedIsAnsweredAsItWasDecided) {
  begin();
  uint32_t id = 0;
  for (const uint16_t port : {uint16_t{9}, uint16_t{2}, uint16_t{1}, uint16_t{9}}) {
    deliver(++id, port);
  }
  die_before_the_reply();
  move_all();
  EXPECT_EQ(recover(), "one 1:1, one 2:1 +32, one 3:0, one 4:1");
  EXPECT_EQ(load_u8(returned_.data() + 28), 'z');
  EXPECT_EQ(transport_checksum_state(parse(returned_)), ChecksumState::kGood);
  EXPECT_EQ(page_.loop.recovered, 4u);
  EXPECT_EQ(page_.loop.given_up, 0u);
  EXPECT_EQ(rules_[1].hits, 1u) << "not run a second time";
  deliver(5, 9);
  EXPECT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
  EXPECT_EQ(reply(), "one 5:1") << "and goes on";
}

TEST_F(PacketRecoveryTest, WhatWasReadAndNotLookedAtIsMangled) {
  begin();
  deliver(1, 2);
  deliver(2, 9);
  Inbox left = inbox();
  ASSERT_EQ(left.receive(heritage_.queue_fd, true), 2);
  loop_.reset();
  move_all();
  EXPECT_EQ(recover(), "one 1:1 +32, one 2:1");
  EXPECT_EQ(load_u8(returned_.data() + 28), 'z');
}

// Room to grow in and interfaces' names, too: neither is in the bytes.
TEST_F(PacketRecoveryTest, WhatWasReadAndNotLookedAtIsAllThere) {
  begin();
  start("[[rule]]\nmatch = { dst-port = 4 }\nsteps = [{ insert = \"7a\", at = 0 }]", kBatch);
  deliver(1, 9);
  die_before_the_reply();
  inbox().held()[0]->stage = Stage::kRead;
  inbox().held()[0]->queued.in_index = 1;
  std::vector<Diagnostic> diagnostics;
  const Parsed parsed = parse_rules(
      "[[rule]]\nmatch = { dst-port = 9, in = \"lo\" }\nsteps = [{ insert = \"7a7a\", at = 0 }]",
      "test.toml");
  const auto program = compile(parsed.set, &diagnostics);
  ASSERT_TRUE(parsed.ok() && program);
  heritage_.program = &*program;
  EXPECT_EQ(recover(), "one 1:1 +34");
}

TEST_F(PacketRecoveryTest, WhatHadBecomeAPacketIsNotReadASecondTime) {
  begin();
  deliver(1, 9);
  deliver(2, 2);
  die_before_the_reply();
  inbox().read_up_to(1);
  EXPECT_EQ(recover(), "one 1:1, one 2:1 +32");
  EXPECT_EQ(page_.loop.recovered, 2u);
}

TEST_F(PacketRecoveryTest, TheOneInHandLeavesAsTheKernelHasIt) {
  for (const Verdict verdict : {Verdict::kAccept, Verdict::kDrop}) {
    heritage_.options.on_crash = verdict;
    begin();
    deliver(1, 2);
    deliver(2, 2);
    deliver(3, 2);
    die_before_the_reply();
    inbox().held()[1]->stage = Stage::kInHand;
    EXPECT_EQ(recover(), verdict == Verdict::kAccept ? "one 1:1 +32, one 2:1, one 3:1 +32"
                                                     : "one 1:1 +32, one 2:0, one 3:1 +32");
  }
  EXPECT_EQ(page_.loop.given_up, 2u);
}

TEST_F(PacketRecoveryTest, WhatWasAnsweredIsDoneWith) {
  begin();
  deliver(1, 2);
  EXPECT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
  EXPECT_EQ(reply(), "one 1:1 +32");
  EXPECT_EQ(recover(), "nothing");
}

TEST_F(PacketRecoveryTest, WhatWaitsGoesOnWaiting) {
  begin();
  deliver(1, 3);
  deliver(2, 3);
  ASSERT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
  EXPECT_EQ(reply(), std::nullopt);
  loop_.reset();
  move_all();
  EXPECT_EQ(recover(), "nothing");
  loop_->release_orphans(9, kNfAccept);
  EXPECT_EQ(reply(), std::nullopt) << "put off: it would take those that wait";
  loop_->finish();
  EXPECT_EQ(reply(), "one 1:1 +32, one 2:1 +32");
  EXPECT_EQ(load_u8(returned_.data() + 28), 'z');
  EXPECT_EQ(reply(), "batch 9:1");
}

TEST_F(PacketRecoveryTest, WhatWasLetGoAndNotAnsweredIsAnsweredAtOnce) {
  begin();
  deliver(1, 3);
  ASSERT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
  close(std::exchange(sockets_[1], -1));
  loop_->finish();
  EXPECT_NE(loop_->broken_errno(), 0);
  loop_.reset();
  EXPECT_EQ(recover(), "one 1:1 +32");
}

TEST_F(PacketRecoveryTest, AfterTwoDeathsInItNothingIsLookedAtAnyMore) {
  begin();
  deliver(1, 2);
  die_before_the_reply();
  page_.recoveries = 2;
  EXPECT_EQ(recover(), "nothing");
  EXPECT_EQ(page_.recoveries, 0u);
}

// A worker may have written anything there before it died.
TEST_F(PacketRecoveryTest, MemoryInAnyStateDoesNoHarm) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    begin();
    for (uint32_t id = 1; id <= 3; ++id) deliver(id, static_cast<uint16_t>(id));
    die_before_the_reply();
    const size_t head = 2048;  // where all that is not bytes of packets lies
    for (int i = 0; i < 20; ++i) {
      slots_.data()[random() % head] = static_cast<std::byte>(random());
      held_.data()[random() % head] = static_cast<std::byte>(random());
    }
    recover();
    loop_.reset();
  }
}

}  // namespace
}  // namespace fettle
