#include "workers/queue_limit.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

constexpr size_t kRoom = 16;

auto waiting(uint64_t packets) {
  return [packets] { return packets; };
}

// Full receives; the last answer that was one.
std::optional<uint32_t> read(QueueLimit& limit, uint32_t packets, uint64_t left = 4096) {
  std::optional<uint32_t> last;
  for (uint32_t done = 0; done < packets; done += kRoom) {
    if (const auto changed = limit.after(kRoom, kRoom, waiting(left))) last = changed;
  }
  return last;
}

TEST(QueueLimitTest, ABurstOfItsWholeLengthChangesNothing) {
  QueueLimit limit(4096, 512);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(read(limit, 4096), std::nullopt);
    EXPECT_EQ(limit.after(3, kRoom, waiting(0)), std::nullopt);
  }
}

TEST(QueueLimitTest, MorePacketsThanABurstMakeItShort) {
  QueueLimit limit(4096, 512);
  EXPECT_EQ(read(limit, 4096), std::nullopt);
  EXPECT_EQ(read(limit, kRoom), 512u);
  EXPECT_TRUE(limit.lowered());
  EXPECT_EQ(read(limit, 1'000'000), std::nullopt) << "once is enough";
}

TEST(QueueLimitTest, ABusyQueueThatIsNotLongStaysAsItIs) {
  QueueLimit limit(4096, 512);
  EXPECT_EQ(read(limit, 100'000, 3583), std::nullopt);
  EXPECT_EQ(read(limit, 100'000, 3584), 512u);
}

TEST(QueueLimitTest, HowManyWaitIsAskedOnceInAWhile) {
  QueueLimit limit(4096, 512);
  int asked = 0;
  for (uint32_t done = 0; done < 100 * 4096; done += kRoom) {
    limit.after(kRoom, kRoom, [&asked] {
      ++asked;
      return uint64_t{0};
    });
  }
  EXPECT_LE(asked, 100);
  EXPECT_GE(asked, 99);
}

TEST(QueueLimitTest, ItIsLongAgainWhenTheQueueKeepsRunningEmpty) {
  QueueLimit limit(4096, 512);
  read(limit, 8192);
  ASSERT_TRUE(limit.lowered());
  int receives = 0;
  std::optional<uint32_t> changed;
  while (!changed && ++receives < 1000) changed = limit.after(1, kRoom, waiting(0));
  EXPECT_EQ(changed, 4096u);
  EXPECT_GT(receives, 1) << "one empty queue is no proof";
  EXPECT_FALSE(limit.lowered());
  EXPECT_EQ(read(limit, 4096), std::nullopt) << "the count begins anew";
}

TEST(QueueLimitTest, AQueueThatIsEmptyLessThanHalfTheTimeStaysShort) {
  QueueLimit limit(4096, 512);
  read(limit, 8192);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(limit.after(1, kRoom, waiting(0)), std::nullopt);
    EXPECT_EQ(read(limit, 2 * kRoom), std::nullopt);
  }
}

TEST(QueueLimitTest, WithoutAShorterLengthNothingChanges) {
  QueueLimit limit(512, 512);
  EXPECT_EQ(read(limit, 100'000), std::nullopt);
  EXPECT_FALSE(limit.lowered());
}

}  // namespace
}  // namespace fettle
