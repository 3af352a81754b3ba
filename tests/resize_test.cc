#include "core/resize.h"

#include <gtest/gtest.h>

#include "core/mangle.h"
#include "tests/packet_cases.h"

namespace fettle {
namespace {

using testing::Built;
using testing::ByteVector;
using testing::filled;
using testing::hex;
using testing::PacketBuilder;
using testing::State;

constexpr uint32_t kRoom = 64;

// The packet with room behind it, filled with what no packet should come to contain.
class Roomy {
 public:
  explicit Roomy(const ByteVector& bytes) : bytes_(bytes) {
    bytes_.resize(bytes.size() + kRoom, std::byte{0xee});
    packet = parse({bytes_.data(), bytes.size()});
    packet.capacity = static_cast<uint32_t>(bytes_.size());
  }
  std::string now() const { return testing::to_hex({packet.data, packet.size}); }
  Packet packet;

 private:
  ByteVector bytes_;
};

struct Change {
  uint32_t at, removed;
  const char* bytes;
};
constexpr Change kChanges[] = {{0, 0, "aa"},           {0, 1, ""},       {3, 2, "a1a2a3a4a5"},
                               {5, 4, "b1"},           {9, 0, "c1c2c3"}, {0, 9, ""},
                               {2, 1, "d1d2d3d4d5d6"}, {8, 1, "e1e2"}};

ByteVector edited(ByteVector payload, const Change& change) {
  const ByteVector bytes = hex(change.bytes);
  const auto at = payload.begin() + change.at;
  payload.insert(payload.erase(at, at + change.removed), bytes.begin(), bytes.end());
  return payload;
}

struct Shape {
  const char* name;
  PacketBuilder builder;
};
std::vector<Shape> shapes() {
  const PacketBuilder v4("10.0.0.1", "10.0.0.2");
  const PacketBuilder v6("2001:db8::1", "2001:db8::2");
  return {{"udp", PacketBuilder(v4).udp(1, 2)},
          {"udp with a surplus", PacketBuilder(v4).udp(1, 2).udp_surplus(hex("010203"))},
          {"udp behind options", PacketBuilder(v4).options(hex("0101 0101")).udp(1, 2)},
          {"udp in IPv6", PacketBuilder(v6).udp(1, 2)},
          {"udp behind extensions", PacketBuilder(v6).extension(testing::hop_by_hop()).udp(1, 2)},
          {"udp-lite", PacketBuilder(v4).udp_lite(1, 2, 0)},
          {"udp-lite, headers covered", PacketBuilder(v6).udp_lite(1, 2, 8)},
          {"icmp", PacketBuilder(v4).icmp(8, 0, 5)},
          {"icmp of zeros", PacketBuilder(v4).icmp(0, 0, 0)},
          {"icmpv6", PacketBuilder(v6).icmp(128, 0, 5)},
          {"unknown", PacketBuilder(v4).protocol(47)},
          {"unknown in IPv6", PacketBuilder(v6).protocol(47)}};
}

TEST(Replace, MakesThePacketThatWouldHaveBeenBuilt) {
  const ByteVector payload = filled(9);
  for (auto& [name, builder] : shapes()) {
    for (const State state : {State::kGood, State::kBad, State::kAbsent, State::kPartial}) {
      const std::string text(name);
      const bool udp = text.starts_with("udp");
      const bool lite = text.starts_with("udp-lite");
      if (text.starts_with("unknown") && state != State::kGood) continue;
      if (state == State::kAbsent && (!udp || lite)) continue;
      if (state == State::kPartial && (!udp || lite)) continue;
      for (const Change& change : kChanges) {
        PacketBuilder with = builder;
        with.checksum(state);
        const Built before = with.payload(payload).build();
        const Built after = with.payload(edited(payload, change)).build();
        Roomy roomy(before.bytes);
        const uint32_t at = roomy.packet.payload + change.at;
        ASSERT_EQ(replace(roomy.packet, at, change.removed, hex(change.bytes)), Resize::kDone);
        EXPECT_EQ(roomy.packet.size, after.bytes.size()) << name;
        EXPECT_TRUE(roomy.packet.changed && roomy.packet.resized);
        EXPECT_EQ(testing::transport_state({roomy.packet.data, roomy.packet.size}, after.layout),
                  testing::transport_state(after.bytes, after.layout))
            << name << " " << change.bytes;
        if (state == State::kBad) continue;  // off by as much as before, not by the builder's
        EXPECT_EQ(roomy.now(), testing::to_hex(after.bytes)) << name << " " << change.bytes;
      }
    }
  }
}

TEST(Replace, LeavesADescriptionAsOfANewParse) {
  for (auto& [name, builder] : shapes()) {
    Roomy roomy(builder.payload(filled(9)).build().bytes);
    Packet& packet = roomy.packet;
    ASSERT_EQ(replace(packet, packet.payload + 2, 3, hex("0102030405")), Resize::kDone) << name;
    const Packet again = parse({packet.data, packet.size});
    EXPECT_EQ(again.length, packet.length) << name;
    EXPECT_EQ(again.size, packet.size) << name;
    EXPECT_EQ(again.payload, packet.payload) << name;
    EXPECT_EQ(again.transport_end, packet.transport_end) << name;
  }
}

TEST(Replace, ThereAndBackIsThePacketItself) {
  for (auto& [name, builder] : shapes()) {
    const ByteVector before = builder.payload(filled(9)).checksum(State::kBad).build().bytes;
    Roomy roomy(before);
    const uint32_t at = roomy.packet.payload + 3;
    ASSERT_EQ(replace(roomy.packet, at, 0, hex("112233")), Resize::kDone) << name;
    ASSERT_EQ(replace(roomy.packet, at, 3, {}), Resize::kDone) << name;
    EXPECT_EQ(roomy.now(), testing::to_hex(before)) << name;
  }
}

TEST(Replace, AnOutstandingChecksumIsWrittenOverTheNewLength) {
  PacketBuilder builder("10.0.0.1", "10.0.0.2");
  builder.udp(1, 2).payload(filled(9));
  Roomy roomy(PacketBuilder(builder).checksum(State::kPartial).build().bytes);
  roomy.packet.plan = ChecksumPlan::kFinish;
  ASSERT_EQ(replace(roomy.packet, 30, 1, hex("aabbcc")), Resize::kDone);
  finish(roomy.packet);
  const ByteVector after = builder.payload(edited(filled(9), {2, 1, "aabbcc"})).build().bytes;
  EXPECT_EQ(roomy.now(), testing::to_hex(after));
}

TEST(Replace, CoverageFollowsWhatItCovered) {
  struct Case {
    uint16_t before;
    Change change;
    uint16_t after;
  };
  const Case cases[] = {{10, {2, 0, "aaaa"}, 10}, {11, {2, 0, "aaaa"}, 13}, {17, {9, 0, "aa"}, 18},
                        {12, {3, 4, "aa"}, 12},   {17, {0, 5, ""}, 12},     {8, {0, 1, ""}, 8}};
  for (const auto& [before, change, covered] : cases) {
    PacketBuilder builder("10.0.0.1", "10.0.0.2");
    builder.udp_lite(1, 2, before).payload(filled(9));
    Roomy roomy(builder.build().bytes);
    ASSERT_EQ(replace(roomy.packet, 28 + change.at, change.removed, hex(change.bytes)),
              Resize::kDone);
    builder.udp_lite(1, 2, covered).payload(edited(filled(9), change));
    EXPECT_EQ(roomy.now(), testing::to_hex(builder.build().bytes)) << before;
  }
}

// Refused, with nothing changed.
void expect_refused(Roomy& roomy, uint32_t at, uint32_t removed, const ByteVector& bytes,
                    Resize why) {
  const std::string before = roomy.now();
  EXPECT_EQ(replace(roomy.packet, at, removed, bytes), why) << to_string(why);
  EXPECT_EQ(roomy.now(), before);
  EXPECT_FALSE(roomy.packet.changed || roomy.packet.resized);
}

TEST(Replace, RefusesWhatHasNoLengthOfItsOwn) {
  const PacketBuilder v4 = PacketBuilder("10.0.0.1", "10.0.0.2").payload(filled(40));
  const auto udp = PacketBuilder(v4).udp(1, 2).build();
  const auto refused = [](const ByteVector& bytes, Resize why) {
    Roomy roomy(bytes);
    expect_refused(roomy, roomy.packet.payload, 1, {}, why);
  };
  refused(PacketBuilder(v4).tcp(1, 2).build().bytes, Resize::kStream);
  refused(PacketBuilder(v4).sctp(1, 2).build().bytes, Resize::kStructured);
  refused(PacketBuilder(v4).icmp(3, 3).payload(udp.bytes).build().bytes, Resize::kStructured);
  refused(testing::split(udp, 16).first.bytes, Resize::kFragment);
  refused(testing::split(udp, 16).second.bytes, Resize::kFragment);
  refused({udp.bytes.begin(), udp.bytes.end() - 1}, Resize::kTruncated);
  refused({udp.bytes.begin(), udp.bytes.begin() + 10}, Resize::kImmutable);
  ByteVector unsegmented = udp.bytes;
  unsegmented[2] = unsegmented[3] = std::byte{0};
  refused(unsegmented, Resize::kSegments);
  for (const auto& [plan, why] : {std::pair(ChecksumPlan::kPseudo, Resize::kSegments),
                                  std::pair(ChecksumPlan::kClear, Resize::kSegments),
                                  std::pair(ChecksumPlan::kImmutable, Resize::kImmutable)}) {
    Roomy roomy(udp.bytes);
    roomy.packet.plan = plan;
    expect_refused(roomy, 28, 1, {}, why);
  }
}

TEST(Replace, StaysWithinPayloadAndRoom) {
  const PacketBuilder udp = PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).payload(filled(9));
  Roomy roomy(udp.build().bytes);
  expect_refused(roomy, 27, 1, {}, Resize::kOutside);
  expect_refused(roomy, 28, 10, {}, Resize::kOutside);
  expect_refused(roomy, 38, 0, hex("aa"), Resize::kOutside);
  expect_refused(roomy, 28, UINT32_MAX, {}, Resize::kOutside);
  expect_refused(roomy, 28, 0, filled(kRoom + 1), Resize::kNoRoom);
  EXPECT_EQ(replace(roomy.packet, 28, 0, filled(kRoom)), Resize::kDone);
  Roomy fixed(udp.build().bytes);
  fixed.packet.capacity = 0;
  expect_refused(fixed, 28, 1, {}, Resize::kNoRoom);
}

TEST(Replace, StopsAtWhatALengthFieldHolds) {
  for (const char* address : {"10.0.0.1", "::1"}) {
    PacketBuilder builder(address, address);
    ByteVector bytes = builder.udp(1, 2).payload(filled(65000)).build().bytes;
    const uint32_t header = address[0] == ':' ? 40 : 0;
    const auto free = static_cast<uint32_t>(65535 + header - bytes.size());
    bytes.resize(70000);
    Packet packet = parse(bytes);
    packet.capacity = 70000;
    EXPECT_EQ(replace(packet, packet.payload, 0, filled(free + 1)), Resize::kNoRoom);
    EXPECT_EQ(replace(packet, packet.payload, 0, filled(free)), Resize::kDone);
    EXPECT_EQ(packet.length, 65535 + header);
  }
}

TEST(Replace, OfEqualLengthIsAWriteInTcpToo) {
  PacketBuilder builder = PacketBuilder("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(filled(9));
  Roomy roomy(builder.build().bytes);
  EXPECT_EQ(replace(roomy.packet, 41, 2, hex("aabb")), Resize::kDone);
  EXPECT_FALSE(roomy.packet.resized);
  builder.payload(edited(filled(9), {1, 2, "aabb"}));
  EXPECT_EQ(roomy.now(), testing::to_hex(builder.build().bytes));
}

}  // namespace
}  // namespace fettle
