#include "core/flow_hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::filled;
using testing::PacketBuilder;

uint32_t hash_of(testing::Built built) {
  return flow_hash(parse({built.bytes.data(), built.bytes.size()}));
}

const std::pair<const char*, const char*> kEnds[] = {{"10.0.0.1", "10.0.0.2"},
                                                     {"2001:db8::1", "2001:db8::2"}};

TEST(FlowHashTest, BothDirectionsAreOneFlow) {
  for (const auto& [a, b] : kEnds) {
    EXPECT_EQ(hash_of(PacketBuilder(a, b).udp(1, 2).build()),
              hash_of(PacketBuilder(b, a).udp(2, 1).build()));
    EXPECT_EQ(hash_of(PacketBuilder(a, b).icmp(8, 0).build()),
              hash_of(PacketBuilder(b, a).icmp(0, 0).build()));
  }
}

TEST(FlowHashTest, EachPartOfTheFlowCounts) {
  for (const auto& [a, b] : kEnds) {
    const std::set<uint32_t> all = {
        hash_of(PacketBuilder(a, b).udp(1, 2).build()),
        hash_of(PacketBuilder(a, b).udp(1, 3).build()),
        hash_of(PacketBuilder(a, b).udp(2, 1).build()),  // the same ports at the other ends
        hash_of(PacketBuilder(a, b).tcp(1, 2).build()),
        hash_of(PacketBuilder(a, a).udp(1, 2).build()),
        hash_of(PacketBuilder(b, b).udp(1, 2).build()),
    };
    EXPECT_EQ(all.size(), 6u);
  }
}

TEST(FlowHashTest, AllFragmentsOfADatagramStayTogether) {
  for (const auto& [a, b] : kEnds) {
    const auto [first, later] =
        split(PacketBuilder(a, b).udp(1, 2).payload(filled(64)).build(), 16);
    EXPECT_EQ(hash_of(first), hash_of(later));
  }
}

TEST(FlowHashTest, FlowsSpreadEvenly) {
  int lanes[4] = {};
  for (int flow = 0; flow < 4000; ++flow) {
    const std::string source = fmt::format("10.0.{}.{}", flow / 250, flow % 250 + 1);
    ++lanes[hash_of(PacketBuilder(source, "10.9.9.9").udp(1331, 1331).build()) % 4];
  }
  for (const int lane : lanes) EXPECT_NEAR(lane, 1000, 150);
}

TEST(FlowHashTest, WhatIsMalformedIsOneFlow) {
  std::byte none{0x10};
  EXPECT_EQ(flow_hash(parse({&none, 0})), 0u);
  EXPECT_EQ(flow_hash(parse({&none, 1})), 0u);
}

}  // namespace
}  // namespace fettle
