// Answers of a control socket that is not to be trusted.
#include "workers/control_answer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace fettle {
namespace {

void expect_refused(const std::string& text, std::string_view message) {
  const auto answer = parse_control_answer(text);
  ASSERT_FALSE(answer) << text;
  EXPECT_EQ(answer.error().code, ErrorCode::kProtocol);
  EXPECT_EQ(answer.error().message, fmt::format("the answer is none of fettle's: {}", message));
}

TEST(ControlAnswer, OutcomesAreRead) {
  const auto done = parse_control_answer(R"({"exit":0,"message":"reloaded"})"
                                         "\n");
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit, 0);
  EXPECT_EQ(done->message, "reloaded");
  EXPECT_FALSE(done->status);
  const auto refused = parse_control_answer(R"({"message":"no","exit":65})");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->exit, 65);
}

TEST(ControlAnswer, UnknownMembersStayInTheJson) {
  const auto answer =
      parse_control_answer(R"({"exit":0,"status":{"pid":1,"speed":[3]},"more":null})");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status->pid, 1);
  EXPECT_EQ(answer->status_json, "{\n  \"pid\": 1,\n  \"speed\": [\n    3\n  ]\n}");
}

TEST(ControlAnswer, WhatIsCutOffOrNoJsonIsRefused) {
  expect_refused("", "found nothing, expected a JSON object");
  expect_refused(R"({"exit":0,"mess)",
                 "found 15 bytes, \"{\"exit\":0,\"mess\", that end with \"{\"exit\":0,\"mess\", "
                 "expected a whole JSON object");
  expect_refused("HTTP/1.1 400 Bad Request\r\n",
                 "found 26 bytes, \"HTTP/1.1 400 Bad Request\\r\\n\", that end with \"HTTP/1.1 400 "
                 "Bad Request\\r\\n\", expected a whole JSON object");
  expect_refused("[1]", "it: found an array, expected an object");
}

TEST(ControlAnswer, WhatIsWrongIsQuotedWithItsPlace) {
  expect_refused("{}", "exit: found none, expected 0 to 255");
  expect_refused(R"({"exit":256})", "exit: found 256, expected 0 to 255");
  expect_refused(R"({"exit":"0"})",
                 "exit: found \"0\", expected a whole number from -2147483648 to 2147483647");
  expect_refused(R"({"exit":0,"message":{"a":1}})", "message: found an object, expected a string");
  expect_refused(R"({"exit":0,"status":{"queues":[{},{"traffic":{"packets":-1}}]}})",
                 "status.queues[1].traffic.packets: found -1, expected a whole number from 0 to "
                 "18446744073709551615");
  expect_refused(R"({"exit":0,"status":{"rules":{"name":"x"}}})",
                 "status.rules: found an object, expected an array");
  expect_refused(R"({"exit":0,"status":{"up_ms":1e300}})",
                 "status.up_ms: found 1e+300, expected a whole number from 0 to "
                 "18446744073709551615");
  expect_refused(R"({"exit":0,"status":{"phase":["\u001b"]}})",
                 "status.phase: found an array, expected a string");
}

TEST(ControlAnswer, DepthIsNoHarm) {
  for (const size_t depth : {33, 1'000'000}) {
    expect_refused("{\"exit\":0,\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "}",
                   "found more than 32 levels, expected fewer");
  }
  EXPECT_TRUE(parse_control_answer("{\"exit\":0,\"x\":[[[[[[[[1]]]]]]]]}"));
}

}  // namespace
}  // namespace fettle
