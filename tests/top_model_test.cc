// Rates, histories and orders out of samples, and none where they cannot be known.
#include "workers/top_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/top_cases.h"

namespace fettle {
namespace {

std::vector<std::string> ranked(const TopModel& model) {
  std::vector<std::string> out;
  for (const size_t rule : model.ranking()) out.push_back(model.rules()[rule].name);
  return out;
}

using Names = std::vector<std::string>;

TEST(History, KeepsTheLatest) {
  History history;
  EXPECT_FALSE(history.ago(0));
  for (int i = 0; i < 100; ++i) history.add(i);
  EXPECT_EQ(history.ago(0), 99);
  EXPECT_EQ(history.ago(59), 40);
  EXPECT_FALSE(history.ago(60));
  EXPECT_EQ(history.peak(), 99);
}

TEST(TopModel, OneSampleHasNoRates) {
  TopModel model;
  EXPECT_EQ(model.status(), nullptr);
  RunStatus status = status_at(10, 1, 1);
  status.queues[0].counters.packets = 1'000'000;
  status.rules[0].hits = 1'000'000;
  model.add(status, second(0));
  EXPECT_EQ(model.seconds(), 0);
  EXPECT_EQ(model.queues()[0].increase.packets, 0U);
  EXPECT_EQ(model.rules()[0].hits_per_second, 0);
  EXPECT_FALSE(model.rules()[0].history.ago(0));
}

TEST(TopModel, RatesAreByTheSupervisorsClock) {
  TopModel model;
  model.add(status_at(10, 1, 1), second(0));
  RunStatus status = status_at(12, 1, 1);
  status.queues[0].counters = {.packets = 200, .bytes = 20'000, .batches = 50};
  status.queues[0].counters.waiting = 7;
  status.rules[0] = {.name = "rule 0", .hits = 100, .misses = 3};
  // The answer took half a second more than the one before.
  model.add(status, second(2.5));
  EXPECT_EQ(model.seconds(), 2);
  const TopQueue& queue = model.queues()[0];
  EXPECT_EQ(model.rate(queue.increase.packets), 100);
  EXPECT_EQ(model.rate(queue.increase.bytes), 10'000);
  EXPECT_EQ(queue.increase.waiting, 0U);
  EXPECT_EQ(queue.packets.ago(0), 100);
  EXPECT_EQ(queue.waiting.ago(0), 7);
  EXPECT_EQ(model.rules()[0].hits_per_second, 50);
  EXPECT_EQ(model.rules()[0].misses_per_second, 1.5);
}

TEST(TopModel, CountersThatBeginAnewAreNoRate) {
  TopModel model;
  RunStatus status = status_at(1000, 1, 1);
  status.queues[0].counters.packets = 1'000'000;
  status.queues[0].counters.queue_full = 1000;
  status.rules[0].hits = 1'000'000;
  model.add(status, second(0));
  status = status_at(0.5, 1, 1);
  status.pid = 5000;
  status.queues[0].counters.packets = 999'999;
  status.queues[0].counters.queue_full = 999;
  status.rules[0].hits = 999'999;
  model.add(status, second(1));
  EXPECT_EQ(model.seconds(), 1);
  EXPECT_EQ(model.queues()[0].increase.packets, 0U);
  EXPECT_EQ(model.rules()[0].hits_per_second, 0);
  EXPECT_EQ(model.losses()[0].increase, 0U);
  EXPECT_EQ(model.losses()[0].total, 999U);
}

TEST(TopModel, AnotherSupervisorsClockIsNotComparedWithThatOfTheOneBefore) {
  TopModel model;
  model.add(status_at(10), second(0));
  RunStatus status = status_at(10.001);
  status.pid = 5000;
  status.queues[0].counters.packets = 100;
  model.add(status, second(10));
  EXPECT_EQ(model.rate(model.queues()[0].increase.packets), 10);
}

TEST(TopModel, ASilenceIsNothingInHistories) {
  TopModel model;
  model.add(status_at(1, 1, 1), second(1));
  RunStatus status = status_at(2, 1, 1);
  status.queues[0].counters.packets = 100;
  status.rules[0].hits = 100;
  model.add(status, second(2));
  model.add_silence("nobody listens");
  EXPECT_EQ(model.silence(), "nobody listens");
  EXPECT_EQ(model.seconds(), 0);
  EXPECT_EQ(model.queues()[0].packets.ago(0), 0);
  EXPECT_EQ(model.queues()[0].packets.ago(1), 100);
  EXPECT_EQ(model.rules()[0].hits, 100U);
  EXPECT_EQ(model.rules()[0].hits_per_second, 0);
  status.up_ms += 4000;
  status.queues[0].counters.packets = 500;
  model.add(status, second(6));
  EXPECT_TRUE(model.silence().empty());
  EXPECT_EQ(model.queues()[0].packets.ago(0), 100);
}

TEST(TopModel, RulesAreKnownByTheirNamesAfterAReload) {
  TopModel model;
  model.add(status_at(1, 1, 3), second(1));
  RunStatus status = status_at(2, 1, 3);
  status.rules[2].hits = 50;
  model.add(status, second(2));
  model.pick_named("rule 2");
  status = status_at(3, 1, 0);
  status.rules = {{.name = "rule 2", .hits = 60, .misses = 0},
                  {.name = "new", .hits = 1'000'000, .misses = 0}};
  model.add(status, second(3));
  EXPECT_EQ(model.picked(), 0U);
  EXPECT_EQ(model.rules()[0].hits_per_second, 10);
  EXPECT_EQ(model.rules()[0].history.ago(1), 50);
  EXPECT_EQ(model.rules()[1].hits_per_second, 0);
  status.rules.erase(status.rules.begin());
  model.add(status, second(4));
  EXPECT_FALSE(model.picked());
}

TEST(TopModel, QueuesComeAndGo) {
  TopModel model;
  model.add(status_at(1, 2), second(1));
  RunStatus status = status_at(2, 3);
  status.queues.erase(status.queues.begin());
  status.queues[0].counters.packets = 10;
  status.queues[1].counters.packets = 1'000'000;
  model.add(status, second(2));
  ASSERT_EQ(model.queues().size(), 2U);
  EXPECT_EQ(model.queues()[0].increase.packets, 10U);
  EXPECT_EQ(model.queues()[1].increase.packets, 0U);
}

TEST(TopModel, LossesAreSummedTheFastestFirst) {
  TopModel model;
  RunStatus status = status_at(1, 2);
  status.queues[0].counters.queue_full = 100;
  model.add(status, second(1));
  status = status_at(2, 2);
  status.queues[0].counters.queue_full = 101;
  status.queues[0].counters.socket_full = 1;
  status.queues[1].counters.socket_full = 2;
  status.feed.emplace().bypassed = 2;
  model.add(status, second(2));
  ASSERT_EQ(model.losses().size(), 3U);
  EXPECT_EQ(model.losses()[0].place, "kernel: the socket's buffer was full");
  EXPECT_EQ(model.losses()[0].increase, 3U);
  EXPECT_EQ(model.losses()[1].place, "firewall: came while fettle did not run; at least so many");
  EXPECT_EQ(model.losses()[2].total, 101U);
  EXPECT_EQ(model.losses()[2].increase, 1U);
}

TEST(TopModel, OrdersOfRules) {
  TopModel model;
  RunStatus status = status_at(1, 1, 3);
  status.rules = {{"b", 10, 0}, {"a", 5, 9}, {"c", 7, 9}};
  model.add(status, second(1));
  EXPECT_EQ(ranked(model), (Names{"b", "c", "a"})) << "no rate yet: by hits";
  status.up_ms += 1000;
  status.rules[1].hits += 1;
  model.add(status, second(2));
  EXPECT_EQ(ranked(model), (Names{"a", "b", "c"}));
  model.next_order();
  EXPECT_EQ(rule_order_name(model.order()), "hits");
  EXPECT_EQ(ranked(model), (Names{"b", "c", "a"}));
  model.next_order();
  EXPECT_EQ(ranked(model), (Names{"a", "c", "b"})) << "misses; equals as in the file";
  model.next_order();
  EXPECT_EQ(ranked(model), (Names{"a", "b", "c"}));
  model.next_order();
  EXPECT_EQ(model.order(), RuleOrder::kRate);
}

TEST(TopModel, ThePickMovesAlongTheOrderAndStaysWithItsRule) {
  TopModel model;
  model.move_pick(1);
  EXPECT_FALSE(model.picked());
  RunStatus status = status_at(1);
  status.rules = {{"b", 10, 0}, {"a", 5, 0}, {"c", 7, 0}};
  model.add(status, second(1));
  model.move_pick(1);
  EXPECT_EQ(model.picked_name(), "b") << "the first key picks the first";
  model.move_pick(1);
  EXPECT_EQ(model.picked_name(), "c");
  model.set_order(RuleOrder::kName);
  EXPECT_EQ(model.picked_name(), "c");
  EXPECT_EQ(model.picked_rank(), 2U);
  model.move_pick(100);
  EXPECT_EQ(model.picked_name(), "c");
  model.move_pick(-100);
  EXPECT_EQ(model.picked_name(), "a");
  model.pick_none();
  EXPECT_EQ(model.picked_rank(), 0U);
  model.move_pick(-1);
  EXPECT_EQ(model.picked_name(), "a");
  model.pick_none();
  model.move_pick(100);
  EXPECT_EQ(model.picked_name(), "c");
}

}  // namespace
}  // namespace fettle
