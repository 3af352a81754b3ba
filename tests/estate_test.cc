#include "workers/estate.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string_view>

#include <gtest/gtest.h>

#include "core/shared_memory.h"

namespace fettle {
namespace {

class EstateTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0); }
  void TearDown() override {
    for (const int fd : ends_) {
      if (fd >= 0) close(fd);
    }
  }
  void say(std::string_view text) {
    ASSERT_EQ(write(ends_[0], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  int ends_[2] = {-1, -1};
};

TEST_F(EstateTest, DescriptorsComeAsWhatTheyWere) {
  const auto page = SharedMemory::create(4096, "fettle-page");
  const auto rules = SharedMemory::create(8192, "fettle-rules");
  ASSERT_TRUE(page && rules);
  page->data()[1] = std::byte{7};
  ASSERT_TRUE(send_estate(ends_[0], 3, {ends_[0], page->fd(), -1, -1, -1, rules->fd()}));
  ASSERT_TRUE(send_estate(ends_[0], 4, {ends_[0], page->fd(), -1, -1, -1, -1}));
  ASSERT_TRUE(send_end(ends_[0]));
  auto estates = receive_estates(ends_[1]);
  ASSERT_TRUE(estates) << estates.error().message;
  ASSERT_EQ(estates->size(), 2u);
  Estate& first = estates->front();
  EXPECT_EQ(first.queue, 3);
  EXPECT_FALSE(first[Part::kSlots] || first[Part::kHeld] || first[Part::kStreams]);
  const auto adopted = SharedMemory::adopt(first[Part::kPage].release());
  ASSERT_TRUE(adopted);
  EXPECT_EQ(adopted->data()[1], std::byte{7});
  EXPECT_EQ(SharedMemory::adopt(first[Part::kRules].release())->size(), 8192u);
  EXPECT_EQ(estates->back().queue, 4);
}

TEST_F(EstateTest, WhatSaysSomethingElseIsRefused) {
  for (const char* text : {"hello\n", "queue 70000: socket page\n", "queue 1:\n", "queue x: page\n",
                           "queue 1: socket page\n", "queue 1: shoe\n"}) {
    say(text);
    const auto estates = receive_estates(ends_[1]);
    ASSERT_FALSE(estates) << text;
    EXPECT_NE(estates.error().message.find(std::string(text, 5)), std::string::npos);
  }
  say(std::string(5000, 'a'));
  EXPECT_FALSE(receive_estates(ends_[1]));
}

TEST_F(EstateTest, ARefusalIsToldAsItWasSaid) {
  say(R"({"exit":69,"message":"fettle is starting"})");
  close(std::exchange(ends_[0], -1));
  const auto estates = receive_estates(ends_[1]);
  ASSERT_FALSE(estates);
  EXPECT_EQ(estates.error().message, "--takeover: fettle is starting");
}

TEST_F(EstateTest, AConnectionThatEndsInTheMiddleIsRefused) {
  say("queue 1: soc");
  close(std::exchange(ends_[0], -1));
  const auto estates = receive_estates(ends_[1]);
  ASSERT_FALSE(estates);
  EXPECT_NE(estates.error().message.find("end of file"), std::string::npos);
}

// Given as a socket what is none, twice the same part, a part that nobody knows.
TEST_F(EstateTest, DescriptorsBesideTheWrongWordsAreClosed) {
  const int before = dup(0);
  close(before);
  const auto page = SharedMemory::create(4096);
  ASSERT_TRUE(send_estate(ends_[0], 3, {-1, page->fd(), page->fd(), -1, -1, -1}));
  EXPECT_FALSE(receive_estates(ends_[1])) << "no socket";
  const int after = dup(0);
  EXPECT_EQ(after, before + 1) << "but for the page's own nothing is open that was not";
  close(after);
}

}  // namespace
}  // namespace fettle
