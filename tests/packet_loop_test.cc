#include "workers/packet_loop.h"

#include "tests/packet_loop_fixture.h"

namespace fettle {
namespace {

constexpr const char* kRules = R"(
[[rule]]
match = { protocol = "udp", dst-port = 1 }
steps = ["drop"]
[[rule]]
match = { protocol = "udp", dst-port = 2 }
steps = [{ write = "7a", at = 0 }]
)";

TEST_F(PacketLoopTest, AnswersABatchWithOneMessageInTheOrderOfIds) {
  start(kRules, 8);
  uint32_t id = 1;
  for (const uint16_t port : {uint16_t{9}, uint16_t{9}, uint16_t{2}, uint16_t{1}, uint16_t{9}}) {
    deliver(id++, port);
  }
  EXPECT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
  EXPECT_EQ(reply(), "batch 2:1, one 3:1 +32, one 4:0, one 5:1");
  EXPECT_EQ(reply(), std::nullopt);
  EXPECT_EQ(page_.loop.packets, 5u);
  EXPECT_EQ(page_.loop.batches, 1u);
  EXPECT_EQ(page_.program[0].changed, 1u);
  EXPECT_EQ(page_.program[0].dropped, 1u);
  EXPECT_EQ(rules_[1].hits, 1u);
}

TEST_F(PacketLoopTest, TheChangedPacketGoesBackWholeWithItsChecksum) {
  start(kRules);
  deliver(1, 2);
  loop_->turn(true);
  ASSERT_EQ(reply(), "one 1:1 +32");
  auto expected = udp_packet(2);
  store_u8(expected.data() + 28, 'z');
  store<uint16_t>(expected.data() + 26, full_transport_checksum(parse(expected)));
  EXPECT_EQ(returned_, expected);
}

TEST_F(PacketLoopTest, APacketGoesBackInItsNewLength) {
  start(R"(
[[rule]]
match = { dst-port = 3 }
steps = [{ insert = "abcdefghi", at = 2, as = "text" }]
[[rule]]
match = { dst-port = 4 }
steps = [{ delete = 3, at = 0 }]
)");
  deliver(1, 3);
  deliver(2, 4);
  deliver(3, 5);
  loop_->turn(true);
  ASSERT_EQ(reply(), "one 1:1 +41, one 2:1 +29, one 3:1");
  const Packet shorter = parse(returned_);
  EXPECT_EQ(shorter.length, 29u);
  EXPECT_EQ(transport_checksum_state(shorter), ChecksumState::kGood);
}

TEST_F(PacketLoopTest, APacketGrowsToWhatAMessageHoldsAndNoFurther) {
  const auto insert = [](size_t size) {
    return "[[rule]]\nmatch = { dst-port = 3 }\nsteps = [{ as = \"text\", at = 0, insert = \"" +
           std::string(size, 'x') +
           "\" }]\n[[rule]]\nmatch = { dst-port = 4 }\nsteps = [{ insert = \"7a\", at = 0 }]\n";
  };
  start(insert(kMaxReturnedPayload - 32).c_str());
  deliver(1, 3);
  deliver(2, 4);
  loop_->turn(true);
  EXPECT_EQ(reply(), "one 1:1 +65531, one 2:1 +33");
  const Packet beside = parse(returned_);
  EXPECT_EQ(beside.dst_port(), 4);  // whole: the longest has not reached its slot
  EXPECT_EQ(transport_checksum_state(beside), ChecksumState::kGood);
  TearDown();
  start(insert(kMaxReturnedPayload - 31).c_str());
  deliver(1, 3);
  loop_->turn(true);
  EXPECT_EQ(reply(), "one 1:1");
  EXPECT_EQ(rules_[0].misses, 1u);
}

TEST_F(PacketLoopTest, MoreThanABatchTakesMoreTurns) {
  start(kRules, 2);
  for (uint32_t id = 1; id <= 5; ++id) deliver(id, 9);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(loop_->turn(false), PacketLoop::Turn::kPackets);
  EXPECT_EQ(loop_->turn(false), PacketLoop::Turn::kIdle);
  EXPECT_EQ(reply(), "batch 2:1");
  EXPECT_EQ(reply(), "batch 4:1");
  EXPECT_EQ(reply(), "one 5:1");
}

TEST_F(PacketLoopTest, AMalformedMessageIsCountedAndAnsweredWhereItNamesItsPacket) {
  start(kRules);
  auto cut = queued(7, udp_packet(1));
  cut.resize(cut.size() - 4);
  deliver(cut);
  deliver(std::vector<char>(3, 'x'));
  loop_->turn(true);
  EXPECT_EQ(reply(), "one 7:1");
  EXPECT_EQ(page_.loop.malformed_messages, 2u);
}

TEST_F(PacketLoopTest, ErrorsAndAcknowledgementsAreToldApart) {
  start(kRules);
  answer(ENOENT, 0);
  answer(EPERM, 0);
  answer(0, 2);
  loop_->turn(true);
  EXPECT_EQ(reply(), std::nullopt);
  EXPECT_EQ(page_.loop.stale_verdicts, 1u);
  EXPECT_EQ(page_.loop.refused_verdicts, 1u);
  EXPECT_EQ(loop_->acknowledged(), 2u);
  EXPECT_EQ(loop_->acknowledged_error(), 0);
}

TEST_F(PacketLoopTest, EachConfigurationHasANumberOfItsOwn) {
  start(kRules);
  const auto first = loop_->configure(heritage_.options.settings);
  const auto second = loop_->configure(heritage_.options.settings);
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, 0u) << "0 is a verdict's";
  EXPECT_NE(*first, *second);
  for (const uint32_t number : {*first, *second}) {
    alignas(8) std::array<std::byte, 512> bytes;
    ASSERT_GT(recv(sockets_[1], bytes.data(), bytes.size(), MSG_DONTWAIT), 16);
    EXPECT_EQ(load<uint32_t>(bytes.data() + 8), number);
  }
}

TEST_F(PacketLoopTest, SettingsThatTheKernelRefusesAreSentAnewWithout) {
  start(kRules);
  QueueSettings settings = heritage_.options.settings;
  settings.conntrack = true;
  ASSERT_TRUE(loop_->configure(settings));
  const auto [asked, flags] = configuration();
  EXPECT_NE(flags & NFQA_CFG_F_CONNTRACK, 0u);
  EXPECT_FALSE(loop_->settled());
  answer(EOPNOTSUPP, asked);
  loop_->turn(true);
  EXPECT_FALSE(loop_->settled());
  const auto [again, fewer] = configuration();
  EXPECT_NE(again, asked);
  EXPECT_EQ(fewer, flags & ~uint32_t{NFQA_CFG_F_CONNTRACK});
  answer(0, again);
  loop_->turn(true);
  EXPECT_TRUE(loop_->settled());
  EXPECT_EQ(loop_->acknowledged_error(), 0);
  EXPECT_FALSE(loop_->settings().conntrack);
  EXPECT_EQ(configuration().first, 0u) << "nothing more";
}

std::string costly_rules() {
  std::string steps = "{ write = \"7a\", at = 0 }";
  for (int i = 0; i < 3000; ++i) {
    steps += i % 2 ? ", { write = \"0102\", at = 2 }" : ", { write = \"0304\", at = 2 }";
  }
  return "[[rule]]\nmatch = { dst-port = 2 }\nsteps = [" + steps + "]\n";
}

// While lanes have one batch, the next is received: each packet is answered once all the same, in
// the order of ids, and the last ones when the loop is left.
TEST_F(PacketLoopTest, WithLanesEveryPacketIsAnsweredOnceInTheOrderOfIds) {
  heritage_.options.cpus = {0, 0};
  start(costly_rules().c_str());
  std::string answered;
  std::string expected;
  bool held_back = false;
  uint32_t id = 0;
  const auto take_replies = [&] {
    const std::string before = answered;
    while (const auto more = reply()) answered += *more + "\n";
    return answered.size() > before.size();
  };
  for (int turns = 0; turns < 200; ++turns) {
    for (int i = 0; i < 4; ++i) deliver(++id, 2);
    ASSERT_EQ(loop_->turn(false), PacketLoop::Turn::kPackets);
    held_back |= !take_replies();
  }
  EXPECT_TRUE(held_back) << "no batch was ever with the lanes";
  loop_->finish();
  take_replies();
  EXPECT_EQ(loop_->turn(false), PacketLoop::Turn::kIdle);
  for (uint32_t i = 1; i <= id; ++i) {
    expected += fmt::format("one {}:1 +32{}", i, i % 4 == 0 ? "\n" : ", ");
  }
  EXPECT_EQ(answered, expected);
  EXPECT_EQ(page_.loop.packets, id);
  EXPECT_EQ(total(page_).changed, id);
}

constexpr const char* kDelayed = R"(
[[rule]]
match = { dst-port = 1 }
steps = [{ delay = "1ms" }]
[[rule]]
match = { dst-port = 3 }
steps = [{ delay = "60s" }, { write = "7a", at = 0 }]
)";

TEST_F(PacketLoopTest, WhatIsDelayedIsAnsweredWhenItsTimeHasComeAndTheRestAtOnce) {
  start(kDelayed, 8);
  for (const uint32_t id : {1u, 2u}) deliver(id, 9);
  deliver(3, 1);
  for (const uint32_t id : {4u, 5u}) deliver(id, 9);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
  EXPECT_EQ(reply(), "batch 2:1, one 4:1, one 5:1") << "no batch takes 3";
  deliver(6, 9);
  deliver(7, 9);
  loop_->turn(true);
  std::string answered = reply().value_or("");
  while (answered.find("one 3:1") == std::string::npos) {
    loop_->turn(true);  // nothing comes, and a wait without bound would never end
    if (const auto more = reply()) answered += ", " + *more;
  }
  EXPECT_EQ(answered, "one 6:1, one 7:1, one 3:1");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1));
  deliver(8, 9);
  deliver(9, 9);
  loop_->turn(true);
  EXPECT_EQ(reply(), "batch 9:1") << "nothing is held any more";
  EXPECT_EQ(page_.loop.held, 1u);
  EXPECT_EQ(page_.loop.packets, 9u);
}

TEST_F(PacketLoopTest, AChangedPacketGoesBackChangedWhenItsTimeHasCome) {
  start(kDelayed, 1);
  deliver(1, 3);
  loop_->turn(true);
  EXPECT_EQ(reply(), std::nullopt);
  deliver(2, 9);  // in the same slot of the inbox
  loop_->turn(true);
  EXPECT_EQ(reply(), "one 2:1");
  loop_->finish();
  ASSERT_EQ(reply(), "one 1:1 +32");
  const Packet back = parse(returned_);
  EXPECT_EQ(back.dst_port(), 3);
  EXPECT_EQ(load_u8(back.data + back.payload), 'z');
  EXPECT_EQ(transport_checksum_state(back), ChecksumState::kGood);
}

TEST_F(PacketLoopTest, WhatIsHeldIsAnsweredWhenTheLoopIsLeft) {
  start(kDelayed, 8);
  for (uint32_t id = 1; id <= 3; ++id) deliver(id, 3);
  deliver(4, 9);
  loop_->turn(true);
  EXPECT_EQ(reply(), "one 4:1");
  EXPECT_EQ(loop_->turn(false), PacketLoop::Turn::kIdle);
  loop_->finish();
  EXPECT_EQ(reply(), "one 1:1 +32, one 2:1 +32, one 3:1 +32");
  loop_->finish();
  EXPECT_EQ(reply(), std::nullopt);
}

TEST_F(PacketLoopTest, WhatFindsNoRoomIsAnsweredAtOnceAndCounted) {
  heritage_.options.settings.length = 2;
  start(kDelayed, 8);
  for (uint32_t id = 1; id <= 4; ++id) deliver(id, 3);
  loop_->turn(true);
  EXPECT_EQ(reply(), "one 3:1 +32, one 4:1 +32");
  EXPECT_EQ(page_.loop.held, 2u);
  EXPECT_EQ(page_.loop.not_held, 2u);
  loop_->finish();
  EXPECT_EQ(reply(), "one 1:1 +32, one 2:1 +32");
}

TEST_F(PacketLoopTest, MoreThanAReplyHoldsIsReleasedInSeveral) {
  start(kDelayed, 2);
  for (uint32_t id = 1; id <= 5; ++id) deliver(id, 3);
  for (int i = 0; i < 3; ++i) loop_->turn(true);
  loop_->finish();
  EXPECT_EQ(reply(), "one 1:1 +32, one 2:1 +32");
  EXPECT_EQ(reply(), "one 3:1 +32, one 4:1 +32");
  EXPECT_EQ(reply(), "one 5:1 +32");
}

TEST_F(PacketLoopTest, WithLanesWhatIsDelayedIsAnsweredOnceToo) {
  heritage_.options.cpus = {0, 0};
  std::string rules = costly_rules();
  rules.insert(rules.rfind(']'), ", { reorder = \"50%\", by = \"1ms\" }");
  start(rules.c_str());
  std::vector<int> answers;
  uint32_t id = 0;
  const auto take_replies = [&] {
    while (const auto more = reply()) {
      EXPECT_EQ(more->find("batch"), std::string::npos);
      for (size_t at = 0; (at = more->find("one ", at)) != std::string::npos; at += 4) {
        const size_t answered = std::stoul(more->substr(at + 4));
        answers.resize(std::max(answers.size(), answered + 1));
        ++answers[answered];
      }
    }
  };
  for (int turns = 0; turns < 200; ++turns) {
    for (int i = 0; i < 4; ++i) deliver(++id, 2);
    ASSERT_EQ(loop_->turn(true), PacketLoop::Turn::kPackets);
    take_replies();
  }
  loop_->finish();
  take_replies();
  ASSERT_EQ(answers.size(), id + 1);
  for (uint32_t i = 1; i <= id; ++i) EXPECT_EQ(answers[i], 1) << i;
  EXPECT_GT(page_.loop.held, 0u);
  EXPECT_LT(page_.loop.held, id);
}

TEST_F(PacketLoopTest, AReplyThatIsNotTakenBreaksTheLoop) {
  start(kRules);
  deliver(1, 9);
  close(std::exchange(sockets_[1], -1));
  EXPECT_EQ(loop_->turn(true), PacketLoop::Turn::kBroken);
  EXPECT_NE(loop_->broken_errno(), 0);
}

}  // namespace
}  // namespace fettle
