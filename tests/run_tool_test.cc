#include "workers/run_tool.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

TEST(RunToolTest, TakesWhatIsSaid) {
  const auto said = run_tool({"cat"}, "one\ntwo\n");
  ASSERT_TRUE(said);
  EXPECT_TRUE(said->good());
  EXPECT_EQ(said->out, "one\ntwo\n");
}

TEST(RunToolTest, AFailureHasItsWordsOrItsStatus) {
  const auto missing = run_tool({"cat", "/nowhere/at/all"});
  ASSERT_TRUE(missing);
  EXPECT_FALSE(missing->good());
  EXPECT_NE(missing->complaint().find("/nowhere/at/all"), std::string::npos);
  EXPECT_EQ(run_tool({"false"})->complaint(), "exit status 1");
}

TEST(RunToolTest, WhatDoesNotEndIsEnded) {
  const auto late = run_tool({"sleep", "60"}, "", std::chrono::milliseconds(50));
  ASSERT_TRUE(late);
  EXPECT_EQ(late->status, -1);
  EXPECT_EQ(late->complaint(), "it did not end in time");
}

TEST(RunToolTest, NoSuchProgram) {
  EXPECT_FALSE(run_tool({"fettle-has-no-such-program"}));
  EXPECT_FALSE(find_tool("../bin/fettle-has-no-such-program"));
}

}  // namespace
}  // namespace fettle
