// Packets that the kernel counts nowhere, worked out from what rules and queues count.
#include "workers/feed.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

Firewall firewall_of(std::string_view saved) {
  Firewall out;
  read_iptables(saved, "iptables", &out);
  return out;
}

Feed feed(std::map<std::string, uint64_t> rules) {
  Feed out;
  out.rules = std::move(rules);
  return out;
}

QueueStatus row(uint32_t id, uint64_t dropped) {
  QueueStatus out;
  out.id_sequence = id;
  out.queue_dropped = dropped;
  return out;
}

TEST(FeedTest, RulesOfTheRangeAlone) {
  const Feed out = feed_of(firewall_of("*mangle\n"
                                       "[5:500] -A FORWARD -p udp -j NFQUEUE --queue-num 1\n"
                                       "[7:700] -A FORWARD -p udp -j NFQUEUE --queue-num 1\n"
                                       "[9:900] -A INPUT -j NFQUEUE --queue-balance 0:3 "
                                       "--queue-bypass\n"
                                       "[11:1] -A INPUT -j NFQUEUE --queue-balance 3:4\n"
                                       "[13:1] -A INPUT -j NFQUEUE --queue-num 4\n"
                                       "-A INPUT -j NFQUEUE --queue-num 0 --queue-bypass\n"
                                       "COMMIT\n"),
                           0, 3);
  EXPECT_EQ(out.rules, (std::map<std::string, uint64_t>{
                           {"iptables ip mangle FORWARD -p udp -j NFQUEUE --queue-num 1", 12},
                           {"iptables ip mangle INPUT -j NFQUEUE --queue-balance 0:3 "
                            "--queue-bypass",
                            9}}));
  EXPECT_EQ(out.beyond, 1u);
  EXPECT_EQ(out.uncounted, 1u);
  EXPECT_FALSE(out.bypass);
}

TEST(FeedTest, IntakeOverTheWrapOfItsNumbers) {
  QueueIntake intake;
  EXPECT_EQ(intake.look(row(0xfffffff0, 0)), 0xfffffff0u);
  EXPECT_EQ(intake.look(row(0x10, 5)), 0x25u);
  EXPECT_EQ(intake.look(row(0x10, 5)), 0u);
  EXPECT_EQ(intake.id(), 0x10u);
  EXPECT_EQ(intake.dropped(), 5u);
}

TEST(FeedTest, TheDifferenceIsTold) {
  FeedAccount account;
  account.look(feed({{"a", 1000}}), 50, 0);  // of earlier, which nobody knows
  const FeedFound found = account.look(feed({{"a", 1500}, {"b", 40}}), 500, 0);
  EXPECT_EQ(found.unqueued, 40u);
  EXPECT_EQ(found.bypassed, 0u);
  EXPECT_EQ(account.figures().sent, 540u);
  EXPECT_EQ(account.look(feed({{"a", 1500}, {"b", 40}}), 0, 0).unqueued, 0u);
  EXPECT_EQ(account.figures().unqueued, 40u);
}

TEST(FeedTest, NeverMoreIsTold) {
  // What came while the rules were read is taken already, and sent only at the next look.
  FeedAccount account;
  account.look(feed({{"a", 0}}), 30, 30);
  EXPECT_EQ(account.look(feed({{"a", 130}}), 120, 20).unqueued, 0u);
  EXPECT_EQ(account.look(feed({{"a", 230}}), 90, 0).unqueued, 0u);  // 240 came to the queue
  EXPECT_EQ(account.look(feed({{"a", 330}}), 85, 0).unqueued, 5u);
}

TEST(FeedTest, ARuleThatGoesTakesItsCountsAlong) {
  FeedAccount account;
  account.look(feed({{"a", 0}, {"b", 0}}), 0, 0);
  EXPECT_EQ(account.look(feed({{"a", 100}}), 150, 10).unqueued, 0u);
  EXPECT_EQ(account.look(feed({{"a", 200}}), 90, 0).unqueued, 0u);
  EXPECT_EQ(account.look(feed({{"a", 300}}), 99, 0).unqueued, 1u);
  // Counted anew (iptables -Z).
  EXPECT_EQ(account.look(feed({{"a", 20}}), 10, 0).unqueued, 0u);
  EXPECT_EQ(account.look(feed({{"a", 30}}), 9, 0).unqueued, 1u);
}

TEST(FeedTest, WhatCameWhileNothingRan) {
  FeedAccount account({{"a", 100}}, {.sent = 60, .unqueued = 7, .bypassed = 2, .balance = 0},
                      false);
  const FeedFound found = account.look(feed({{"a", 150}}), 10, 0);
  EXPECT_EQ(found.bypassed, 40u);
  EXPECT_EQ(found.unqueued, 0u);
  EXPECT_EQ(account.look(feed({{"a", 160}}), 9, 0).unqueued, 1u);
  EXPECT_EQ(account.figures().bypassed, 42u);
  EXPECT_EQ(account.figures().unqueued, 8u);
  EXPECT_EQ(account.figures().sent, 120u);
}

TEST(FeedTest, RecordAndBack) {
  const FeedRecord record{
      .queues = "0:3",
      .ended = true,
      .figures = {.sent = 1, .unqueued = 2, .bypassed = 3, .balance = -4},
      .rules = {{"iptables ip mangle FORWARD -m comment --comment \"a \\\"b\"", 1ull << 40}},
      .intake = {{0, {7, 8}}, {65535, {0xffffffff, 0}}}};
  const auto back = parse_feed_record(to_json(record));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(record));
  EXPECT_EQ(back->intake.at(65535).id(), 0xffffffffu);
}

TEST(FeedTest, WhatIsNoRecordIsNone) {
  for (const char* text : {"", "{", "[]", "{\"queues\":\"0:3\"}",
                           "{\"queues\":1,\"ended\":true,\"sent\":0,\"unqueued\":0,\"bypassed\":0,"
                           "\"balance\":0,\"rules\":{},\"intake\":{}}",
                           "{\"queues\":\"0\",\"ended\":true,\"sent\":0,\"unqueued\":0,"
                           "\"bypassed\":0,\"balance\":0,\"rules\":{},\"intake\":{\"x\":[0,0]}}"}) {
    EXPECT_FALSE(parse_feed_record(text)) << text;
  }
}

}  // namespace
}  // namespace fettle
