#include "core/checksum.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/packet_cases.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::hex;
using testing::PacketBuilder;
using testing::State;

uint16_t host(uint16_t as_loaded) { return big_endian(as_loaded); }

ByteVector random_bytes(std::mt19937& random, size_t size) {
  // Runs of 0 and of ones are where one's complement goes wrong.
  ByteVector out(size);
  const uint32_t kind = random() % 4;
  for (std::byte& byte : out) {
    byte = kind == 0 ? std::byte{0} : kind == 1 ? std::byte{0xff} : std::byte(random() & 0xff);
  }
  return out;
}

Packet parsed(ByteVector& bytes) { return parse({bytes.data(), bytes.size()}); }

TEST(Sum, IsRfc1071sExample) { EXPECT_EQ(host(fold(sum(hex("0001 f203 f4f5 f6f7")))), 0xddf2); }

TEST(Sum, CountsAnOddLastByteAsIfAZeroFollowed) {
  EXPECT_EQ(host(fold(sum(hex("12")))), 0x1200);
  EXPECT_EQ(host(fold(sum(hex("1234 56")))), 0x1234 + 0x5600);
}

TEST(Sum, OfNothingIsTheStart) {
  EXPECT_EQ(sum({}), 0u);
  EXPECT_EQ(sum({}, 77), 77u);
}

TEST(Sum, AgreesWithThePlainOneAtEverySizeAndAlignment) {
  std::mt19937 random(1);
  for (size_t size = 0; size < 400; ++size) {
    for (size_t shift = 0; shift < 8; ++shift) {
      const ByteVector bytes = random_bytes(random, size + shift);
      const auto span = std::span(bytes).subspan(shift);
      ASSERT_EQ(host(fold(sum(span))), testing::plain_sum(span)) << size << " at " << shift;
    }
  }
}

TEST(Sum, HoldsTheLargestPacketOfOnes) {
  const ByteVector bytes(65535 + 40, std::byte{0xff});
  EXPECT_EQ(host(fold(sum(bytes, ~uint64_t{0} >> 16))), testing::plain_sum(bytes));
}

TEST(Fold, IsZeroForZeroAlone) {
  for (const uint64_t sum : {uint64_t{1}, uint64_t{0xffff}, uint64_t{0x1fffe}, uint64_t{0xffff0000},
                             ~uint64_t{0}, uint64_t{0xffffffff00000000}}) {
    EXPECT_EQ(fold(sum), sum % 0xffff == 0 ? 0xffff : sum % 0xffff) << sum;
  }
  EXPECT_EQ(fold(0), 0);
}

TEST(Update, IsRfc1624sExample) {
  // Section 4: HC 0xdd2f, a word 0x5555 becomes 0x3285; equation 3 gives 0x0000, not 0xffff.
  EXPECT_EQ(host(update(big_endian(uint16_t{0xdd2f}), hex("5555"), hex("3285"), false)), 0x0000);
}

TEST(Update, AgreesWithAFullSumAtOddAndEvenPlaces) {
  std::mt19937 random(2);
  for (int round = 0; round < 20000; ++round) {
    ByteVector bytes = random_bytes(random, 40);
    bytes[0] = std::byte{0x45};  // something that is never 0, as every pseudo-header has
    const auto checksum = static_cast<uint16_t>(~testing::plain_sum(bytes));
    const size_t at = 1 + random() % 39;
    const ByteVector in = random_bytes(random, random() % (41 - at));
    const uint16_t updated =
        update(big_endian(checksum), std::span(bytes).subspan(at, in.size()), in, at % 2 == 1);
    std::copy(in.begin(), in.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
    const auto right = static_cast<uint16_t>(~testing::plain_sum(bytes));
    ASSERT_EQ(host(updated) % 0xffff, right % 0xffff) << testing::to_hex(bytes) << " at " << at;
  }
}

struct CrcVector {
  const char* what;
  ByteVector bytes;
  uint32_t crc;
};
TEST(Crc32c, IsThatOfRfc3720sVectors) {
  // RFC 3720 B.4; the check value of the digits is that of the CRC catalogues.
  const CrcVector vectors[] = {
      {"32 bytes of 0", ByteVector(32), 0x8a9136aa},
      {"32 bytes of ones", ByteVector(32, std::byte{0xff}), 0x62a8ab43},
      {"0 to 31", testing::filled(32, 0, 1), 0x46dd794e},
      {"31 to 0", testing::filled(32, 31, 0xff), 0x113fdb5c},
      {"an iSCSI read command",
       hex("01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018"
           "28000000 00000000 02000000 00000000"),
       0xd9963a56},
      {"the digits 1 to 9", hex("313233343536373839"), 0xe3069283},
      {"nothing", {}, 0},
  };
  for (const CrcVector& vector : vectors) {
    for (const CrcWay way : {CrcWay::kFastest, CrcWay::kTables}) {
      EXPECT_EQ(~extend_crc32c(0xffffffff, vector.bytes, way), vector.crc) << vector.what;
    }
    EXPECT_EQ(testing::plain_crc32c(vector.bytes), vector.crc) << vector.what;
  }
}

TEST(Crc32c, BothWaysAgreeWithThePlainOneAtEverySize) {
  std::mt19937 random(3);
  for (size_t size = 0; size < 200; ++size) {
    const ByteVector bytes = random_bytes(random, size);
    ASSERT_EQ(~extend_crc32c(0xffffffff, bytes, CrcWay::kTables), testing::plain_crc32c(bytes));
    ASSERT_EQ(~extend_crc32c(0xffffffff, bytes), testing::plain_crc32c(bytes));
  }
}

TEST(Crc32c, FollowsAChangeAsAFullOneWould) {
  std::mt19937 random(4);
  for (int round = 0; round < 2000; ++round) {
    ByteVector bytes = random_bytes(random, 12 + random() % 3000);
    const uint32_t before = sctp_crc32c(bytes);
    const size_t at = 12 + random() % (bytes.size() - 11);
    const ByteVector in = random_bytes(random, random() % (bytes.size() - at + 1));
    const auto after = static_cast<uint32_t>(bytes.size() - at - in.size());
    const uint32_t updated =
        update_crc32c(before, std::span(bytes).subspan(at, in.size()), in, after);
    std::copy(in.begin(), in.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
    ASSERT_EQ(updated, sctp_crc32c(bytes));
  }
}

TEST(Transport, EveryKindOfPacketGetsTheChecksumThatThePlainJudgeFinds) {
  for (const size_t size : {0, 1, 12, 63, 64, 65, 1471}) {
    for (const auto& [name, builder] : testing::packet_cases(testing::filled(size))) {
      if (name == "udp_lite4_odd" && size < 3) continue;  // covers more than there is
      if (name == "udp_lite6" && size < 2) continue;
      auto [bytes, layout] = builder.build();
      const Packet packet = parsed(bytes);
      ASSERT_TRUE(packet.has_transport()) << name << size;
      EXPECT_EQ(transport_checksum_state(packet), ChecksumState::kGood) << name << size;
      EXPECT_EQ(covered_end(packet), layout.covered) << name << size;
      EXPECT_EQ(host(fold(pseudo_header_sum(packet))), testing::plain_pseudo_sum(bytes, layout))
          << name;
      const std::byte* field = bytes.data() + layout.transport + checksum_field(packet.protocol);
      if (packet.is(Protocol::kSctp)) {
        EXPECT_EQ(sctp_crc32c(std::span(bytes).subspan(layout.transport)), load<uint32_t>(field));
      } else {
        EXPECT_EQ(full_transport_checksum(packet), load<uint16_t>(field)) << name << size;
      }
    }
  }
}

TEST(Transport, AFullChecksumDoesNotTrustTheField) {
  auto [bytes, layout] =
      PacketBuilder("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(testing::filled(9)).build();
  const Packet packet = parsed(bytes);
  const uint16_t right = load<uint16_t>(bytes.data() + layout.transport + 16);
  store<uint16_t>(bytes.data() + layout.transport + 16, 0x1234);
  EXPECT_EQ(full_transport_checksum(packet), right);
}

// A payload word that makes the sum of everything else all ones, so that the checksum is 0.
ByteVector payload_for_zero(const PacketBuilder& builder) {
  PacketBuilder with_zero = builder;
  const auto [bytes, layout] = with_zero.payload(hex("0000")).build();
  const uint32_t missing = testing::plain_full_checksum(bytes, layout);
  return {std::byte(missing >> 8), std::byte(missing & 0xff)};
}

TEST(Transport, AUdpChecksumOfZeroIsAllOnes) {
  for (const char* protocol : {"udp", "udp-lite", "tcp"}) {
    PacketBuilder builder("10.0.0.1", "10.0.0.2");
    if (protocol == std::string("tcp")) {
      builder.tcp(1, 2);
    } else {
      protocol == std::string("udp") ? builder.udp(1, 2) : builder.udp_lite(1, 2, 0);
    }
    auto [bytes, layout] = builder.payload(payload_for_zero(builder)).build();
    const uint16_t expected = protocol == std::string("tcp") ? 0 : 0xffff;
    EXPECT_EQ(full_transport_checksum(parsed(bytes)), expected) << protocol;
    EXPECT_EQ(testing::field_value(bytes, layout), expected) << protocol;
  }
}

struct StateCase {
  const char* what;
  PacketBuilder builder;
  State made;
  ChecksumState expected;
};
TEST(State, IsJudgedByKind) {
  const PacketBuilder v4("10.0.0.1", "10.0.0.2");
  const PacketBuilder v6("2001:db8::1", "2001:db8::2");
  const auto udp4 = PacketBuilder(v4).udp(1, 2), tcp4 = PacketBuilder(v4).tcp(1, 2);
  const auto udp6 = PacketBuilder(v6).udp(1, 2), sctp = PacketBuilder(v6).sctp(1, 2);
  const auto lite = PacketBuilder(v6).udp_lite(1, 2, 9), icmp = PacketBuilder(v4).icmp(8, 0);
  const StateCase cases[] = {
      {"udp good", udp4, State::kGood, ChecksumState::kGood},
      {"udp bad", udp4, State::kBad, ChecksumState::kBad},
      {"udp absent", udp4, State::kAbsent, ChecksumState::kAbsent},
      {"udp partial", udp4, State::kPartial, ChecksumState::kPartial},
      {"udp over IPv6 absent", udp6, State::kAbsent, ChecksumState::kAbsent},
      {"tcp partial", tcp4, State::kPartial, ChecksumState::kPartial},
      {"tcp 0", tcp4, State::kAbsent, ChecksumState::kBad},
      {"udp-lite 0", lite, State::kAbsent, ChecksumState::kBad},
      {"udp-lite's are never left to hardware", lite, State::kPartial, ChecksumState::kBad},
      {"icmp bad", icmp, State::kBad, ChecksumState::kBad},
      {"sctp good", sctp, State::kGood, ChecksumState::kGood},
      {"sctp bad", sctp, State::kBad, ChecksumState::kBad},
      {"sctp 0", sctp, State::kPartial, ChecksumState::kPartial},
      {"no checksum", PacketBuilder(v4).protocol(47), State::kGood, ChecksumState::kNone},
  };
  for (const StateCase& one : cases) {
    PacketBuilder builder = one.builder;
    ByteVector bytes = builder.payload(testing::filled(30)).checksum(one.made).build().bytes;
    EXPECT_EQ(transport_checksum_state(parsed(bytes)), one.expected) << one.what;
  }
}

TEST(State, OfATruncatedPacketOrAFragmentIsNotChecked) {
  const auto whole =
      PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).payload(testing::filled(64)).build();
  ByteVector cut(whole.bytes.begin(), whole.bytes.begin() + 60);
  EXPECT_EQ(transport_checksum_state(parsed(cut)), ChecksumState::kUnchecked);
  auto [first, later] = testing::split(whole, 32);
  EXPECT_EQ(transport_checksum_state(parsed(first.bytes)), ChecksumState::kUnchecked);
  EXPECT_EQ(transport_checksum_state(parsed(later.bytes)), ChecksumState::kNone);
}

TEST(State, OfATruncatedPacketIsCheckedWhereItsCoverageIsHere) {
  auto whole =
      PacketBuilder("10.0.0.1", "10.0.0.2").udp_lite(1, 2, 20).payload(testing::filled(64)).build();
  ByteVector cut(whole.bytes.begin(), whole.bytes.begin() + 40);
  EXPECT_EQ(transport_checksum_state(parsed(cut)), ChecksumState::kGood);
  cut.pop_back();
  EXPECT_EQ(transport_checksum_state(parsed(cut)), ChecksumState::kUnchecked);
}

TEST(State, OfIcmpThatIsZeroThroughoutIsGoodOnlyWithOnes) {
  ByteVector bytes =
      PacketBuilder("10.0.0.1", "10.0.0.2").icmp(0, 0).payload(ByteVector(8)).build().bytes;
  EXPECT_EQ(load<uint16_t>(bytes.data() + 22), 0xffff);
  EXPECT_EQ(transport_checksum_state(parsed(bytes)), ChecksumState::kGood);
  store<uint16_t>(bytes.data() + 22, 0);
  EXPECT_EQ(transport_checksum_state(parsed(bytes)), ChecksumState::kBad);
}

TEST(Ipv4Header, IsJudgedAndComputed) {
  const PacketBuilder builder =
      PacketBuilder("10.0.0.1", "10.0.0.2").options(hex("94040000")).udp(1, 2);
  ByteVector good = builder.build().bytes;
  ByteVector bad = PacketBuilder(builder).header_checksum(State::kBad).build().bytes;
  EXPECT_EQ(ipv4_checksum_state(parsed(good)), ChecksumState::kGood);
  EXPECT_EQ(ipv4_checksum_state(parsed(bad)), ChecksumState::kBad);
  EXPECT_EQ(ipv4_header_checksum(std::span(bad).first(24)), load<uint16_t>(good.data() + 10));
  ByteVector v6 = PacketBuilder("::1", "::2").udp(1, 2).build().bytes;
  EXPECT_EQ(ipv4_checksum_state(parsed(v6)), ChecksumState::kNone);
}

}  // namespace
}  // namespace fettle
