// Real queues, in namespaces of the test's own; skipped where there can be none.
#include "workers/self_test.h"

#include <gtest/gtest.h>

#include "core/nfqueue.h"

namespace fettle {
namespace {

constexpr size_t kBuffer = 1 << 20;

SelfTest run(const std::vector<QueueSettings>& queues) { return run_self_test(queues, kBuffer); }

class SelfTestTest : public testing::Test {
 protected:
  void SetUp() override {
    const SelfTest test = run({{.queue = 1}});
    if (test.outcome == SelfTest::Outcome::kImpossible) GTEST_SKIP() << test.text;
  }
};

TEST_F(SelfTestTest, EachQueueChangesItsPacket) {
  const SelfTest test = run({{.queue = 3}, {.queue = 4}, {.queue = 65535}});
  EXPECT_EQ(test.outcome, SelfTest::Outcome::kPassed) << test.text;
  EXPECT_EQ(test.text, "a packet went through each of 3 queues and came out changed");
}

TEST_F(SelfTestTest, WhereNothingIsToBeChangedAWholePacketArrivesAsItWasSent) {
  const SelfTest test = run_self_test({{.queue = 3}, {.queue = 4}}, kBuffer, false);
  EXPECT_EQ(test.outcome, SelfTest::Outcome::kPassed) << test.text;
  EXPECT_EQ(test.text, "a packet went through each of 2 queues and came out as it went in");
}

TEST_F(SelfTestTest, MetadataModeIsAnsweredUnchanged) {
  const SelfTest test = run({{.queue = 3, .copy_range = 0}});
  EXPECT_EQ(test.outcome, SelfTest::Outcome::kPassed) << test.text;
  EXPECT_EQ(test.text, "a packet went through the queue");
}

TEST_F(SelfTestTest, AQueueThatTakesNothingFails) {
  const SelfTest test = run({{.queue = 3}, {.queue = 7, .length = 0, .fail_open = false}});
  EXPECT_EQ(test.outcome, SelfTest::Outcome::kFailed);
  EXPECT_EQ(test.text, "queue 7: no packet comes to it");
}

TEST_F(SelfTestTest, SettingsThatAreRefusedFail) {
  const SelfTest test = run({{.queue = 9, .copy_range = 0x7fffffff}});
  EXPECT_EQ(test.outcome, SelfTest::Outcome::kFailed);
  EXPECT_NE(test.text.find("queue 9"), std::string::npos) << test.text;
}

TEST_F(SelfTestTest, LeavesNoQueueBehind) {
  const auto before = read_queue_status().size();
  run({{.queue = 3}});
  EXPECT_EQ(read_queue_status().size(), before);
}

TEST_F(SelfTestTest, VeryManyQueuesStayWithinTheTime) {
  std::vector<QueueSettings> queues;
  for (uint16_t queue = 0; queue < 5000; ++queue) queues.push_back({.queue = queue});
  const SelfTest test = run(queues);
  EXPECT_NE(test.outcome, SelfTest::Outcome::kFailed) << test.text;
  EXPECT_LE(test.took, kLongestSelfTest + std::chrono::seconds(1));
}

}  // namespace
}  // namespace fettle
