// Requests of the control socket: what is understood, and how the rest is refused.
#include "workers/control_request.h"

#include <string>

#include <gtest/gtest.h>

namespace fettle {
namespace {

void expect_refused(std::string_view line, std::string_view message) {
  const auto request = parse_control_request(line);
  ASSERT_FALSE(request) << line;
  EXPECT_EQ(request.error().code, ErrorCode::kUsage);
  EXPECT_EQ(request.error().message, message);
}

TEST(ControlRequest, CommandsAreWords) {
  EXPECT_EQ(parse_control_request("status"), ControlCommand::kStatus);
  EXPECT_EQ(parse_control_request("reload"), ControlCommand::kReload);
  EXPECT_EQ(parse_control_request("  drain "), ControlCommand::kDrain);
  for (const auto command :
       {ControlCommand::kStatus, ControlCommand::kReload, ControlCommand::kDrain}) {
    EXPECT_EQ(parse_control_request(control_command_name(command)), command);
  }
}

TEST(ControlRequest, TheRestIsQuoted) {
  expect_refused("",
                 "request: found an empty line, expected one of status, reload, drain, takeover");
  expect_refused("   ",
                 "request: found an empty line, expected one of status, reload, drain, takeover");
  expect_refused(
      "statsu",
      "request: found \"statsu\", expected one of status, reload, drain, takeover; did you mean "
      "\"status\"?");
  expect_refused(
      "GET / HTTP/1.1\r",
      "request: found \"GET / HTTP/1.1\\r\", expected one of status, reload, drain, takeover");
  expect_refused("drain now", "request: found \"drain now\", expected \"drain\" alone");
  expect_refused("STATUS",
                 "request: found \"STATUS\", expected one of status, reload, drain, takeover");
}

TEST(ControlRequest, WhatATerminalWouldObeyIsSpeltOut) {
  expect_refused(
      std::string_view("\x1b[2J\0\xff", 6),
      "request: found \"\\x1b[2J\\x00\\xff\", expected one of status, reload, drain, takeover");
}

TEST(ControlRequest, ALongLineIsCut) {
  expect_refused(std::string(kLongestRequest + 1, 'x'),
                 "request: found a line of more than 256 bytes, \"" + std::string(60, 'x') +
                     "...\", expected one of status, reload, drain, takeover");
  expect_refused(std::string(kLongestRequest, 'x'),
                 "request: found \"" + std::string(60, 'x') +
                     "...\", expected one of status, reload, drain, takeover");
}

}  // namespace
}  // namespace fettle
