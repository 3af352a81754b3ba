// Where metrics are served: what --metrics takes, and what it refuses.
#include "workers/metrics_address.h"

#include <sys/socket.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace fettle {
namespace {

TEST(MetricsAddress, AddressesAndPorts) {
  for (const std::string_view text :
       {"127.0.0.1:9464", "[::1]:9464", "0.0.0.0:1", "[::]:65535", "[2001:db8::7]:80"}) {
    const auto address = parse_metrics_address(text);
    ASSERT_TRUE(address) << address.error().message;
    EXPECT_EQ(address->to_string(), text);
  }
}

TEST(MetricsAddress, WhatIsNoneIsQuoted) {
  for (const std::string_view text : {"",
                                      ":",
                                      "9464",
                                      ":9464",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:94 64",
                                      "127.0.0.1:+1",
                                      "127.0.0.1:9464x",
                                      "127.1:9464",
                                      "localhost:9464",
                                      "::1:9464",
                                      "::1",
                                      "[::1]",
                                      "[::1]9464",
                                      "[127.0.0.1]:9464",
                                      "[]:9464",
                                      "[::1:9464",
                                      "/run/metrics"}) {
    const auto address = parse_metrics_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, ErrorCode::kUsage);
    EXPECT_EQ(
        address.error().message,
        fmt::format("--metrics: found \"{}\", expected an address and a port from 1 to 65535, "
                    "like 127.0.0.1:9464 or [::1]:9464",
                    text));
  }
}

TEST(MetricsAddress, AnAddressOfAnotherMachineIsUnavailable) {
  const auto listening = listen_at(*parse_metrics_address("192.0.2.1:9464"));
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(listening.error().message.find("found 192.0.2.1:9464, expected"), std::string::npos);
}

TEST(MetricsAddress, ATakenPortIsUnavailable) {
  uint16_t port = 20'000;
  Result<Descriptor> first;
  do {
    first = listen_at({.address = *Address::parse("127.0.0.1"), .port = ++port});
  } while (!first && port < 30'000);
  ASSERT_TRUE(first) << first.error().message;
  const auto second = listen_at({.address = *Address::parse("127.0.0.1"), .port = port});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(second.error().message.find(fmt::format("127.0.0.1:{} is taken", port)),
            std::string::npos);
}

}  // namespace
}  // namespace fettle
