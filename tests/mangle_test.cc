#include "core/mangle.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/packet_cases.h"

namespace fettle {
namespace {

using testing::Built;
using testing::ByteVector;
using testing::filled;
using testing::hex;
using testing::PacketBuilder;
using testing::State;

const PacketBuilder kV4("10.0.0.1", "10.0.0.2");
const PacketBuilder kV6("2001:db8::1", "2001:db8::2");

Packet parsed(ByteVector& bytes) { return parse({bytes.data(), bytes.size()}); }
Address address(const char* text) { return *Address::parse(text); }

// The packet that a builder would have made is what an edit must make of another one.
struct SetCase {
  const char* what;
  PacketBuilder before;
  std::function<Edit(Packet&)> edit;
  PacketBuilder after;
};
PacketBuilder udp(const char* from, const char* to, uint16_t a = 1, uint16_t b = 2) {
  return PacketBuilder(from, to).udp(a, b).payload(filled(5));
}
PacketBuilder tcp(const char* from, const char* to, uint16_t a = 1, uint16_t b = 2) {
  return PacketBuilder(from, to).tcp(a, b).payload(filled(5));
}

TEST(Set, MakesThePacketThatWouldHaveBeenBuilt) {
  const SetCase cases[] = {
      {"ttl", udp("1.2.3.4", "5.6.7.8"), [](Packet& p) { return set_ttl(p, 3); },
       udp("1.2.3.4", "5.6.7.8").ttl(3)},
      {"hop limit", udp("::1", "::2"), [](Packet& p) { return set_ttl(p, 3); },
       udp("::1", "::2").ttl(3)},
      {"dscp", udp("1.2.3.4", "5.6.7.8").traffic_class(0xff),
       [](Packet& p) { return set_dscp(p, 46); }, udp("1.2.3.4", "5.6.7.8").traffic_class(0xbb)},
      {"dscp in IPv6", udp("::1", "::2").traffic_class(0x57),
       [](Packet& p) { return set_dscp(p, 46); }, udp("::1", "::2").traffic_class(0xbb)},
      {"ecn", udp("1.2.3.4", "5.6.7.8").traffic_class(0xb8),
       [](Packet& p) { return set_ecn(p, 3); }, udp("1.2.3.4", "5.6.7.8").traffic_class(0xbb)},
      {"ecn in IPv6", udp("::1", "::2").traffic_class(0xb9),
       [](Packet& p) { return set_ecn(p, 2); }, udp("::1", "::2").traffic_class(0xba)},
      {"src", udp("1.2.3.4", "5.6.7.8"), [](Packet& p) { return set_src(p, address("9.9.9.9")); },
       udp("9.9.9.9", "5.6.7.8")},
      {"dst", tcp("1.2.3.4", "5.6.7.8"), [](Packet& p) { return set_dst(p, address("9.9.9.9")); },
       tcp("1.2.3.4", "9.9.9.9")},
      {"src in IPv6", tcp("::1", "::2"), [](Packet& p) { return set_src(p, address("fe80::9")); },
       tcp("fe80::9", "::2")},
      {"dst in IPv6", udp("::1", "::2"), [](Packet& p) { return set_dst(p, address("fe80::9")); },
       udp("::1", "fe80::9")},
      {"src port", udp("1.2.3.4", "5.6.7.8"), [](Packet& p) { return set_src_port(p, 60000); },
       udp("1.2.3.4", "5.6.7.8", 60000, 2)},
      {"dst port", tcp("::1", "::2"), [](Packet& p) { return set_dst_port(p, 60000); },
       tcp("::1", "::2", 1, 60000)},
      {"sctp port", PacketBuilder(kV4).sctp(1, 2).payload(filled(21)),
       [](Packet& p) { return set_dst_port(p, 60000); },
       PacketBuilder(kV4).sctp(1, 60000).payload(filled(21))},
      {"udp-lite port", PacketBuilder(kV6).udp_lite(1, 2, 8).payload(filled(21)),
       [](Packet& p) { return set_src_port(p, 60000); },
       PacketBuilder(kV6).udp_lite(60000, 2, 8).payload(filled(21))},
      {"mss", PacketBuilder(kV4).tcp(1, 2, 0x02, hex("0204 05b4")),
       [](Packet& p) { return clamp_mss(p, 1260); },
       PacketBuilder(kV4).tcp(1, 2, 0x02, hex("0204 04ec"))},
      {"mss at an odd place", PacketBuilder(kV6).tcp(1, 2, 0x12, hex("01 0204 05b4 010101")),
       [](Packet& p) { return clamp_mss(p, 1260); },
       PacketBuilder(kV6).tcp(1, 2, 0x12, hex("01 0204 04ec 010101"))},
      {"icmp payload", PacketBuilder(kV6).icmp(128, 0, 7).payload(hex("010203")),
       [](Packet& p) { return write(p, 48, hex("aabbcc")); },
       PacketBuilder(kV6).icmp(128, 0, 7).payload(hex("aabbcc"))},
      {"payload at an odd place", udp("1.2.3.4", "5.6.7.8").payload(hex("0102030405")),
       [](Packet& p) { return write(p, 29, hex("aabbcc")); },
       udp("1.2.3.4", "5.6.7.8").payload(hex("01aabbcc05"))},
      {"both addresses in one write", tcp("1.2.3.4", "5.6.7.8"),
       [](Packet& p) { return write(p, 12, hex("0a000001 0a000002")); },
       tcp("10.0.0.1", "10.0.0.2")},
  };
  for (const SetCase& one : cases) {
    ByteVector bytes = one.before.build().bytes;
    Packet packet = parsed(bytes);
    EXPECT_EQ(one.edit(packet), Edit::kDone) << one.what;
    EXPECT_TRUE(packet.changed) << one.what;
    finish(packet);
    EXPECT_EQ(testing::to_hex(bytes), testing::to_hex(one.after.build().bytes)) << one.what;
  }
}

TEST(Set, TheFlowLabelAlone) {
  auto [bytes, layout] = udp("::1", "::2").traffic_class(0xa7).build();
  Packet packet = parsed(bytes);
  EXPECT_EQ(set_flow_label(packet, 0xabcde), Edit::kDone);
  EXPECT_EQ(load_be32(bytes.data()), 0x6a7abcdeu);
  EXPECT_EQ(testing::transport_state(bytes, layout), State::kGood);
  EXPECT_EQ(set_flow_label(packet, 0x100000), Edit::kMiss);
  ByteVector ipv4 = udp("1.2.3.4", "5.6.7.8").build().bytes;
  Packet other = parsed(ipv4);
  EXPECT_EQ(set_flow_label(other, 5), Edit::kMiss);
  EXPECT_FALSE(other.changed);
}

TEST(Set, TheWindowAlone) {
  auto [bytes, layout] = PacketBuilder(kV4).tcp(1, 2).payload(filled(3)).build();
  Packet packet = parsed(bytes);
  EXPECT_EQ(set_tcp_window(packet, 512), Edit::kDone);
  EXPECT_EQ(load_be16(bytes.data() + 34), 512);
  EXPECT_EQ(testing::transport_state(bytes, layout), State::kGood);
}

TEST(Edit, ThatGivesTheSameBytesChangesNothing) {
  for (const auto& [name, builder] : testing::packet_cases(filled(20))) {
    ByteVector bytes = builder.build().bytes;
    const ByteVector before = bytes;
    Packet packet = parsed(bytes);
    EXPECT_EQ(write(packet, 0, before), Edit::kDone) << name;
    EXPECT_EQ(set_ttl(packet, packet.ttl()), Edit::kDone) << name;
    EXPECT_FALSE(packet.changed) << name;
    packet.plan = ChecksumPlan::kFinish;
    finish(packet);
    EXPECT_EQ(bytes, before) << name;
  }
}

// What an edit of some bytes makes is what a write of the whole packet, those bytes among it,
// makes.
void compare_with_whole_write(const std::string& name, const ByteVector& before, uint32_t at,
                              uint32_t size) {
  ByteVector alone = before;
  Packet packet = parsed(alone);
  ByteVector value(size);
  for (uint32_t i = 0; i < size; ++i) value[i] = before[at + i] ^ std::byte(0x0b + 31 * i);
  if (packet.family == Family::kIpv6 && at == 0) value[0] = std::byte{0x6b};
  const Edit done = write(packet, at, value);
  finish(packet);

  ByteVector whole = before;
  Packet other = parsed(whole);
  ByteVector all(before.begin(),
                 before.begin() + (other.later_fragment ? other.header : other.size));
  if (at + size > all.size()) {
    EXPECT_EQ(done, Edit::kMiss) << name;
    return;
  }
  std::ranges::copy(value, all.begin() + at);
  ASSERT_EQ(write(other, 0, all), done) << name << " " << at << " " << size;
  finish(other);
  ASSERT_EQ(testing::to_hex(alone), testing::to_hex(whole)) << name << " " << at << " " << size;
  ASSERT_EQ(packet.changed, other.changed) << name << " " << at << " " << size;
}

TEST(Edit, OfAFewBytesMakesWhatAWriteOfTheWholePacketMakes) {
  for (const auto& [name, builder] : testing::packet_cases(filled(20))) {
    for (const State state : {State::kGood, State::kBad, State::kPartial}) {
      const ByteVector bytes = PacketBuilder(builder).checksum(state).build().bytes;
      for (const uint32_t size : {1u, 2u, 3u, 4u, 16u, 20u}) {
        for (uint32_t at = 0; at + size <= bytes.size(); ++at) {
          compare_with_whole_write(name, bytes, at, size);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

struct MissCase {
  const char* what;
  ByteVector bytes;
  std::function<Edit(Packet&)> edit;
};
ByteVector later_fragment() {
  return testing::split(PacketBuilder(kV4).udp(1, 2).payload(filled(64)).build(), 32).second.bytes;
}
ByteVector cut(ByteVector bytes, size_t size) {
  bytes.resize(size);
  return bytes;
}

TEST(Miss, ChangesNothing) {
  const ByteVector udp4 = PacketBuilder(kV4).udp(1, 2).payload(filled(8)).build().bytes;
  const ByteVector tcp6 = PacketBuilder(kV6).tcp(1, 2, 0x10, hex("020405b4")).build().bytes;
  const ByteVector syn = PacketBuilder(kV6).tcp(1, 2, 0x02, hex("01010402")).build().bytes;
  const ByteVector icmp = PacketBuilder(kV4).icmp(8, 0).build().bytes;
  const ByteVector gre = PacketBuilder(kV4).protocol(47).payload(filled(20)).build().bytes;
  const ByteVector sctp_fragment =
      testing::split(PacketBuilder(kV4).sctp(1, 2).payload(filled(64)).build(), 32).first.bytes;
  const auto one_byte = [](uint32_t at) {
    return [at](Packet& p) { return write(p, at, hex("ee")); };
  };
  const MissCase cases[] = {
      {"past the end", udp4, one_byte(36)},
      {"far past the end", udp4, one_byte(0xffffffff)},
      {"over the end", udp4, [](Packet& p) { return write(p, 34, hex("010203")); }},
      {"past the capture", cut(udp4, 30), one_byte(30)},
      {"wrong family", udp4, [](Packet& p) { return set_src(p, address("::1")); }},
      {"no address", udp4, [](Packet& p) { return set_dst(p, Address{}); }},
      {"dscp of 64", udp4, [](Packet& p) { return set_dscp(p, 64); }},
      {"ecn of 4", udp4, [](Packet& p) { return set_ecn(p, 4); }},
      {"port of icmp", icmp, [](Packet& p) { return set_src_port(p, 9); }},
      {"port of gre", gre, [](Packet& p) { return set_dst_port(p, 9); }},
      {"window of udp", udp4, [](Packet& p) { return set_tcp_window(p, 9); }},
      {"mss of udp", udp4, [](Packet& p) { return clamp_mss(p, 9); }},
      {"mss without syn", tcp6, [](Packet& p) { return clamp_mss(p, 9); }},
      {"mss without option", syn, [](Packet& p) { return clamp_mss(p, 9); }},
      {"port of a later fragment", later_fragment(), [](Packet& p) { return set_src_port(p, 9); }},
      {"payload of a later fragment", later_fragment(), one_byte(20)},
      {"astride a later fragment's header", later_fragment(),
       [](Packet& p) { return write(p, 19, hex("0303")); }},
      {"port of an sctp fragment", sctp_fragment, [](Packet& p) { return set_src_port(p, 9); }},
      {"malformed", cut(udp4, 27), [](Packet& p) { return set_ttl(p, 9); }},
      {"not ip", hex("00"), [](Packet& p) { return set_ttl(p, 9); }},
      {"not ip, dscp", hex(""), [](Packet& p) { return set_dscp(p, 9); }},
      {"quote of udp", udp4, [](Packet& p) { return write_quoted(p, 8, hex("09")); }},
  };
  for (const MissCase& one : cases) {
    ByteVector bytes = one.bytes;
    Packet packet = parsed(bytes);
    EXPECT_EQ(one.edit(packet), Edit::kMiss) << one.what;
    EXPECT_FALSE(packet.changed) << one.what;
    finish(packet);
    EXPECT_EQ(bytes, one.bytes) << one.what;
  }
}

TEST(Miss, IsEveryEditOfAPacketThatMustNotChange) {
  ByteVector bytes = PacketBuilder(kV4)
                         .icmp(3, 1)
                         .payload(PacketBuilder(kV4).udp(1, 2).build().bytes)
                         .build()
                         .bytes;
  const ByteVector before = bytes;
  Packet packet = parsed(bytes);
  packet.plan = ChecksumPlan::kImmutable;
  EXPECT_EQ(set_ttl(packet, 9), Edit::kMiss);
  EXPECT_EQ(set_ttl(packet, packet.ttl()), Edit::kMiss);
  EXPECT_EQ(write(packet, 30, hex("09")), Edit::kMiss);
  EXPECT_EQ(write_quoted(packet, 8, hex("09")), Edit::kMiss);
  finish(packet);
  EXPECT_EQ(bytes, before);
}

TEST(Miss, AnUnfinishedChecksumOfATruncatedPacketCannotBeFinished) {
  ByteVector bytes = cut(
      PacketBuilder(kV4).udp(1, 2).payload(filled(8)).checksum(State::kPartial).build().bytes, 30);
  Packet packet = parsed(bytes);
  packet.plan = ChecksumPlan::kFinish;
  EXPECT_EQ(set_ttl(packet, 9), Edit::kMiss);
}

// Each bit of each byte: either the packet parses to the same description afterwards, or it misses.
TEST(Structure, NoBitThatTheDescriptionOrAChecksumHangsOnCanBeWritten) {
  for (const auto& [name, builder] : testing::packet_cases(filled(20))) {
    const Built built = builder.build();
    for (uint32_t at = 0; at < built.bytes.size(); ++at) {
      for (uint32_t bit = 0; bit < 8; ++bit) {
        ByteVector bytes = built.bytes;
        Packet packet = parsed(bytes);
        const std::byte value = bytes[at] ^ std::byte(1u << bit);
        if (write(packet, at, {&value, 1}) == Edit::kMiss) {
          ASSERT_EQ(bytes, built.bytes) << name;
          continue;
        }
        const Packet again = parsed(bytes);
        ASSERT_EQ(bytes[at], value) << name << " " << at;
        ASSERT_EQ(again.stop, packet.stop) << name << " " << at;
        ASSERT_EQ(again.length, packet.length) << name << " " << at;
        ASSERT_EQ(again.protocol, packet.protocol) << name << " " << at;
        ASSERT_EQ(again.transport, packet.transport) << name << " " << at;
        ASSERT_EQ(again.payload, packet.payload) << name << " " << at;
        ASSERT_EQ(again.transport_end, packet.transport_end) << name << " " << at;
        ASSERT_EQ(again.final_destination, packet.final_destination) << name << " " << at;
        ASSERT_EQ(again.final_elided, packet.final_elided) << name << " " << at;
        ASSERT_EQ(again.home_address, packet.home_address) << name << " " << at;
        ASSERT_EQ(again.fragment, packet.fragment) << name << " " << at;
        ASSERT_EQ(testing::header_state(bytes, built.layout),
                  testing::header_state(built.bytes, built.layout))
            << name << " " << at;
        ASSERT_EQ(testing::transport_state(bytes, built.layout), State::kGood) << name << " " << at;
      }
    }
  }
}

TEST(Structure, WhatIsNoneOfItCanBeWritten) {
  struct Case {
    const char* what;
    PacketBuilder builder;
    uint32_t at;
    const char* bytes;
    Edit expected;
  };
  const PacketBuilder v4 = PacketBuilder(kV4).tcp(1, 2), v6 = PacketBuilder(kV6).tcp(1, 2);
  const PacketBuilder fragment =
      PacketBuilder(kV6).extension(testing::fragment_header(0, true)).udp(1, 2).payload(filled(8));
  const Case cases[] = {
      {"tos", v4, 1, "ff", Edit::kDone},
      {"identification", v4, 4, "ffff", Edit::kDone},
      {"don't fragment", v4, 6, "40", Edit::kDone},
      {"reserved flag", v4, 6, "80", Edit::kDone},
      {"more fragments", v4, 6, "20", Edit::kMiss},
      {"fragment offset", v4, 7, "01", Edit::kMiss},
      {"version", v4, 0, "55", Edit::kMiss},
      {"header checksum", v4, 10, "1234", Edit::kMiss},
      {"traffic class and flow label", v6, 0, "6fffffff", Edit::kDone},
      {"version of IPv6", v6, 0, "7fffffff", Edit::kMiss},
      {"payload length", v6, 5, "ff", Edit::kMiss},
      {"identification of a fragment", fragment, 44, "ffffffff", Edit::kDone},
      {"tcp sequence", v4, 24, "ffffffff", Edit::kDone},
      {"tcp flags", v4, 33, "ff", Edit::kDone},
      {"tcp reserved bits", v4, 32, "5f", Edit::kDone},
      {"tcp data offset", v4, 32, "60", Edit::kMiss},
      {"tcp checksum", v4, 36, "1234", Edit::kMiss},
      {"tcp urgent pointer", v4, 38, "1234", Edit::kDone},
  };
  for (const Case& one : cases) {
    ByteVector bytes = one.builder.build().bytes;
    Packet packet = parsed(bytes);
    EXPECT_EQ(write(packet, one.at, hex(one.bytes)), one.expected) << one.what;
  }
}

TEST(ClampMss, LeavesASmallerOneAlone) {
  ByteVector bytes = PacketBuilder(kV4).tcp(1, 2, 0x02, hex("02040200")).build().bytes;
  const ByteVector before = bytes;
  Packet packet = parsed(bytes);
  EXPECT_EQ(clamp_mss(packet, 1260), Edit::kDone);
  EXPECT_FALSE(packet.changed);
  EXPECT_EQ(bytes, before);
}

TEST(ClampMss, GivesUpOnOptionsThatMakeNoSense) {
  for (const char* options : {"02", "0200 05b4", "0201 05b4", "0203 05b4", "08ff 0204 05b4 0000",
                              "00 0204 05b4 000000", "0301"}) {
    ByteVector bytes = PacketBuilder(kV4).tcp(1, 2, 0x02, hex(options)).build().bytes;
    Packet packet = parsed(bytes);
    EXPECT_EQ(clamp_mss(packet, 9), Edit::kMiss) << options;
  }
}

}  // namespace
}  // namespace fettle
