// The table of offload.h, row by row, for what kernel-facts say of each hook.
#include "core/offload.h"

#include <gtest/gtest.h>

#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::filled;
using testing::PacketBuilder;
using testing::State;

constexpr uint32_t kNone = 0;
constexpr uint32_t kReady = kSkbGso;  // GSO with a checksum of its own
constexpr uint32_t kBoth = kSkbGso | kSkbCsumNotReady;

PacketBuilder packet(const char* what) {
  const std::string_view kind = what;
  const bool six = kind.ends_with('6');
  PacketBuilder out(six ? "2001:db8::1" : "10.0.0.1", six ? "2001:db8::2" : "10.0.0.2");
  if (kind.starts_with("tcp")) out.tcp(1, 2);
  if (kind.starts_with("udp")) out.udp(1, 2);
  if (kind.starts_with("icmp")) out.icmp(8, 0);
  if (kind.starts_with("sctp")) out.sctp(1, 2);
  return out.payload(filled(100));
}

struct Row {
  const char* what;
  State checksum;
  uint32_t skb_info;
  ChecksumPlan prerouting, leaving, input;  // leaving: forward, output and postrouting
};

using enum ChecksumPlan;
const Row kRows[] = {
    {"tcp4", State::kGood, kNone, kComplete, kComplete, kComplete},
    {"udp6", State::kGood, kSkbCsumNotVerified, kComplete, kComplete, kComplete},
    {"icmp4", State::kGood, kNone, kComplete, kComplete, kComplete},
    {"tcp4", State::kPartial, kSkbCsumNotReady, kFinish, kFinish, kFinish},
    {"udp6", State::kPartial, kSkbCsumNotReady, kFinish, kFinish, kFinish},
    {"tcp4", State::kPartial, kBoth, kFinish, kPseudo, kFinish},
    {"tcp6", State::kPartial, kBoth, kFinish, kPseudo, kFinish},
    {"tcp4", State::kBad, kReady, kFinish, kPseudo, kFinish},
    {"udp4", State::kPartial, kBoth, kPseudo, kPseudo, kClear},
    {"udp6", State::kPartial, kBoth, kPseudo, kPseudo, kImmutable},
    {"udp4", State::kGood, kReady, kImmutable, kImmutable, kImmutable},
    {"sctp4", State::kGood, kReady, kImmutable, kImmutable, kImmutable},
    // The unfinished checksum is that of a packet inside this one.
    {"udp4", State::kGood, kSkbCsumNotReady, kImmutable, kImmutable, kImmutable},
    {"udp4", State::kAbsent, kSkbCsumNotReady, kImmutable, kImmutable, kImmutable},
};

TEST(ChecksumPlanTest, IsWhatTheKernelTakesByHookAndProtocol) {
  for (const Row& row : kRows) {
    ByteVector bytes = packet(row.what).checksum(row.checksum).build().bytes;
    const Packet parsed = parse({bytes.data(), bytes.size()});
    ASSERT_EQ(parsed.stop, ParseStop::kComplete) << row.what;
    const auto plan = [&](Hook hook) { return checksum_plan(parsed, hook, row.skb_info, true); };
    const auto line = std::string(row.what) + ", info " + std::to_string(row.skb_info);
    EXPECT_EQ(plan(Hook::kPrerouting), row.prerouting) << line;
    EXPECT_EQ(plan(Hook::kInput), row.input) << line;
    for (const Hook hook : {Hook::kForward, Hook::kOutput, Hook::kPostrouting}) {
      EXPECT_EQ(plan(hook), row.leaving) << line;
    }
  }
}

TEST(ChecksumPlanTest, APacketThatIsNotAllHereCannotBeGivenBack) {
  for (const Row& row : kRows) {
    ByteVector bytes = packet(row.what).checksum(row.checksum).build().bytes;
    const Packet parsed = parse({bytes.data(), bytes.size()});
    EXPECT_EQ(checksum_plan(parsed, Hook::kForward, row.skb_info, false), kImmutable) << row.what;
  }
}

}  // namespace
}  // namespace fettle
