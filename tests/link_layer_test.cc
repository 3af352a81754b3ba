#include "core/link_layer.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace fettle {
namespace {

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> out;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
  }
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return out;
}

struct Case {
  const char* name;
  uint32_t link_type;
  const char* frame;
  int offset;  // of the IP header; -1: none
};

class LinkLayerTest : public testing::TestWithParam<Case> {};

TEST_P(LinkLayerTest, FindsTheIpHeaderOrNothing) {
  auto frame = from_hex(GetParam().frame);
  const auto found = network_layer(GetParam().link_type, frame);
  ASSERT_EQ(found.has_value(), GetParam().offset >= 0);
  if (found) {
    EXPECT_EQ(found->data() - frame.data(), GetParam().offset);
    EXPECT_EQ(found->data() + found->size(), frame.data() + frame.size());
  }
}

#define ETH "020000000001 020000000002 "
INSTANTIATE_TEST_SUITE_P(
    Frames, LinkLayerTest,
    testing::Values(
        Case{"Ipv4", 1, ETH "0800 45", 14}, Case{"Ipv6", 1, ETH "86dd 60", 14},
        Case{"Arp", 1, ETH "0806 0001", -1}, Case{"Llc", 1, ETH "0026 4242", -1},
        Case{"Vlan", 1, ETH "8100 0064 0800 45", 18},
        Case{"QinQ", 1, ETH "88a8 0064 8100 0065 86dd 60", 22},
        Case{"ThreeTags", 1, ETH "88a8 0001 8100 0002 9100 0003 0800 45", 26},
        Case{"VlanArp", 1, ETH "8100 0064 0806 00", -1},
        Case{"Pppoe", 1, ETH "8864 1100 0001 0003 0021 45", 22},
        Case{"PppoeIpv6", 1, ETH "8864 1100 0001 0003 0057 60", 22},
        Case{"PppoeShortProtocol", 1, ETH "8864 1100 0001 0002 21 45", 21},
        Case{"PppoeOverQinQ", 1, ETH "88a8 0064 8100 0065 8864 1100 0001 0003 0021 45", 30},
        Case{"PppoeLcp", 1, ETH "8864 1100 0001 0003 c021 01", -1},
        Case{"PppoeDiscovery", 1, ETH "8863 1109 0000 0004", -1},
        Case{"EndsBeforeType", 1, "020000000001 0200", -1}, Case{"EndsInTag", 1, ETH "8100 00", -1},
        Case{"EndsAtHeader", 1, ETH "0800", -1}, Case{"Empty", 1, "", -1},
        Case{"Raw", 101, "45", 0}, Case{"RawBsd", 12, "60", 0}, Case{"RawIpv4", 228, "45", 0},
        Case{"RawIpv6", 229, "60", 0}, Case{"RawEmpty", 101, "", -1},
        Case{"NullLittle", 0, "02000000 45", 4}, Case{"NullBig", 0, "00000002 45", 4},
        Case{"NullDarwinIpv6", 0, "1e000000 60", 4}, Case{"LoopIpv6", 108, "00000018 60", 4},
        Case{"NullOther", 0, "07000000 45", -1}, Case{"NullCut", 0, "0200", -1},
        Case{"Sll", 113, "0000 0001 0006 020000000001 0000 0800 45", 16},
        Case{"SllVlan", 113, "0000 0001 0006 020000000001 0000 8100 0064 86dd 60", 20},
        Case{"SllArp", 113, "0000 0001 0006 020000000001 0000 0806 00", -1},
        Case{"Sll2", 276, "0800 0000 00000001 0001 00 06 0200000000010000 45", 20},
        Case{"Sll2Vlan", 276, "8100 0000 00000001 0001 00 06 0200000000010000 0064 0800 45", 24},
        Case{"Sll2Cut", 276, "0800 0000 00000001", -1}, Case{"Ppp", 9, "ff03 0021 45", 4},
        Case{"PppBare", 9, "0057 60", 2}, Case{"PppLcp", 9, "ff03 c021 01", -1},
        Case{"Radiotap", 127, "00001900 45", -1}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace fettle
