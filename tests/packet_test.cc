#include "core/packet.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/packet_cases.h"

namespace fettle {
namespace {

using testing::Built;
using testing::ByteVector;
using testing::filled;
using testing::hex;
using testing::PacketBuilder;

const PacketBuilder kV4("10.0.0.1", "10.0.0.2");
const PacketBuilder kV6("2001:db8::1", "2001:db8::2");

Packet parsed(ByteVector& bytes) { return parse({bytes.data(), bytes.size()}); }
void set_be16(ByteVector& bytes, size_t at, uint16_t value) { store_be16(&bytes.at(at), value); }

TEST(Parse, FindsTheTransportOfEveryKindOfPacket) {
  for (const auto& [name, builder] : testing::packet_cases(filled(40))) {
    auto [bytes, layout] = builder.build();
    const Packet packet = parsed(bytes);
    EXPECT_EQ(packet.stop, ParseStop::kComplete) << name;
    EXPECT_EQ(packet.family, layout.ipv4_header ? Family::kIpv4 : Family::kIpv6) << name;
    EXPECT_EQ(packet.protocol, layout.protocol) << name;
    EXPECT_EQ(packet.transport, layout.transport) << name;
    EXPECT_EQ(packet.header, layout.transport) << name;
    EXPECT_EQ(packet.payload, layout.end - 40) << name;
    EXPECT_EQ(packet.transport_end, layout.end) << name;
    EXPECT_EQ(packet.size, bytes.size()) << name;
    EXPECT_EQ(packet.length, bytes.size()) << name;
    EXPECT_EQ(load_u8(packet.data + packet.extensions), layout.protocol) << name;
    EXPECT_EQ(packet.home_address ? packet.home_address : (layout.ipv4_header ? 12u : 8u),
              layout.source[0])
        << name;
    EXPECT_EQ(packet.final_destination + packet.final_elided,
              layout.destination[packet.final_elided])
        << name;
    EXPECT_FALSE(packet.fragment || packet.later_fragment || packet.truncated()) << name;
    EXPECT_EQ(packet.plan, ChecksumPlan::kCapture);
  }
}

TEST(Parse, ReadsNothingBeyondTheBytesWhereverTheyEnd) {
  for (const auto& [name, builder] : testing::packet_cases(filled(20))) {
    const Built whole = builder.build();
    for (size_t size = 0; size <= whole.bytes.size(); ++size) {
      ByteVector cut(whole.bytes.begin(), whole.bytes.begin() + static_cast<ptrdiff_t>(size));
      cut.shrink_to_fit();
      const Packet packet = parsed(cut);
      const uint32_t needed = whole.layout.end - 20;
      EXPECT_EQ(packet.stop == ParseStop::kComplete, size >= needed) << name << " " << size;
      EXPECT_EQ(packet.malformed(), size < needed) << name << " " << size;
      EXPECT_EQ(packet.size, size);
      EXPECT_LE(packet.payload, size);
      if (size >= needed) {
        EXPECT_EQ(packet.length, whole.bytes.size());
      }
    }
  }
}

TEST(Parse, SaysWhyItStopped) {
  struct Case {
    const char* what;
    std::string digits;
    ParseStop stop;
  };
  const std::string v4 = "4500001c 00000000 40110000 0a000001 0a000002 ";
  const std::string udp = "00010002 00080000";
  const std::string addresses =
      "20010db8000000000000000000000001 20010db8000000000000000000000002 ";
  const Case cases[] = {
      {"nothing", "", ParseStop::kNotIp},
      {"version 5", "55000014", ParseStop::kNotIp},
      {"19 bytes", v4.substr(0, 39), ParseStop::kTruncatedNetwork},
      {"header of 16", "44" + v4.substr(2) + udp, ParseStop::kBadNetworkLength},
      {"total length below the header's", "45000013" + v4.substr(8) + udp,
       ParseStop::kBadNetworkLength},
      {"options beyond the total length", "4800001c" + v4.substr(8) + udp,
       ParseStop::kBadNetworkLength},
      {"options beyond the bytes", "4f0000ff" + v4.substr(8) + udp, ParseStop::kTruncatedNetwork},
      {"length 0 and nothing behind the header", "45000000" + v4.substr(8),
       ParseStop::kBadNetworkLength},
      {"UDP", v4 + udp, ParseStop::kComplete},
      {"UDP length 7", v4 + "00010002 00070000", ParseStop::kBadTransportLength},
      {"UDP length 9 of 8", v4 + "00010002 00090000", ParseStop::kBadTransportLength},
      {"UDP length 0 over IPv4", v4 + "00010002 00000000", ParseStop::kBadTransportLength},
      {"7 bytes of UDP", "4500001b" + v4.substr(8) + udp, ParseStop::kTruncatedTransport},
      {"UDP-Lite coverage 7", "4500001c 00000000 40880000 0a000001 0a000002 00010002 00070000",
       ParseStop::kBadTransportLength},
      {"UDP-Lite coverage 1", "4500001c 00000000 40880000 0a000001 0a000002 00010002 00010000",
       ParseStop::kBadTransportLength},
      {"UDP-Lite coverage 9 of 8", "4500001c 00000000 40880000 0a000001 0a000002 00010002 00090000",
       ParseStop::kBadTransportLength},
      {"UDP-Lite coverage 0", "4500001c 00000000 40880000 0a000001 0a000002 00010002 00000000",
       ParseStop::kComplete},
      {"TCP offset 4",
       "45000028 00000000 40060000 0a000001 0a000002 00010002 00000000 00000000 40100000 00000000",
       ParseStop::kBadTransportLength},
      {"TCP header longer than the packet",
       "45000028 00000000 40060000 0a000001 0a000002 00010002 00000000 00000000 60100000 00000000",
       ParseStop::kBadTransportLength},
      {"TCP options cut by the capture",
       "4500002c 00000000 40060000 0a000001 0a000002 00010002 00000000 00000000 60100000 00000000",
       ParseStop::kTruncatedTransport},
      {"TCP options cut by a first fragment",
       "45000028 00002000 40060000 0a000001 0a000002 00010002 00000000 00000000 60100000 00000000",
       ParseStop::kTruncatedTransport},
      {"ICMP of 7 bytes", "4500001b 00000000 40010000 0a000001 0a000002 08000000 000000",
       ParseStop::kTruncatedTransport},
      {"ICMPv6 in IPv4", "4500001c 00000000 403a0000 0a000001 0a000002 80000000 00000000",
       ParseStop::kUnknownTransport},
      {"GRE", "45000018 00000000 402f0000 0a000001 0a000002 00000800",
       ParseStop::kUnknownTransport},
      {"later fragment", "4500001c 00000001 40110000 0a000001 0a000002 00000000 00000000",
       ParseStop::kLaterFragment},
      {"39 bytes of IPv6", "60000000 0000 3b 40" + addresses.substr(0, 63),
       ParseStop::kTruncatedNetwork},
      {"IPv6, no next header", "60000000 0000 3b 40" + addresses, ParseStop::kUnknownTransport},
      {"ICMP in IPv6", "60000000 0008 01 40" + addresses + "08000000 00000000",
       ParseStop::kUnknownTransport},
      {"IPv6 UDP", "60000000 0008 11 40" + addresses + udp, ParseStop::kComplete},
      {"UDP length 0 over IPv6 (RFC 2675)", "60000000 0008 11 40" + addresses + "00010002 00000000",
       ParseStop::kComplete},
      {"hop-by-hop beyond the packet", "60000000 0008 00 40" + addresses + "1101000000000000",
       ParseStop::kTruncatedNetwork},
      {"chain that ends without a header", "60000000 0008 00 40" + addresses + "2b00000000000000",
       ParseStop::kTruncatedNetwork},
      {"later fragment of IPv6",
       "60000000 0010 2c 40" + addresses + "11000008 00000001 0000000000000000",
       ParseStop::kLaterFragment},
      {"ESP", "60000000 0008 32 40" + addresses + "0000000000000000", ParseStop::kUnknownTransport},
  };
  for (const Case& one : cases) {
    ByteVector bytes = hex(one.digits);
    bytes.shrink_to_fit();
    const Packet packet = parsed(bytes);
    EXPECT_EQ(packet.stop, one.stop) << one.what << ": " << to_string(packet.stop);
  }
}

TEST(Parse, LeavesEthernetPaddingOut) {
  for (PacketBuilder builder : {kV4, kV6}) {
    ByteVector bytes = builder.udp(1, 2).payload(filled(3)).build().bytes;
    const auto length = static_cast<uint32_t>(bytes.size());
    bytes.resize(60);
    const Packet packet = parsed(bytes);
    EXPECT_EQ(packet.size, length);
    EXPECT_EQ(packet.length, length);
    EXPECT_EQ(packet.transport_end, length);
  }
}

TEST(Parse, TakesTheBytesForTheLengthWhereThePacketSaysNone) {
  ByteVector v4 = PacketBuilder(kV4).tcp(1, 2).payload(filled(100)).build().bytes;
  set_be16(v4, 2, 0);
  EXPECT_EQ(parsed(v4).length, v4.size());
  EXPECT_EQ(parsed(v4).stop, ParseStop::kComplete);
  ByteVector v6 = PacketBuilder(kV6).tcp(1, 2).payload(filled(100)).build().bytes;
  set_be16(v6, 4, 0);
  EXPECT_EQ(parsed(v6).length, v6.size());
  ByteVector empty = PacketBuilder(kV6).protocol(59).build().bytes;
  empty.resize(46);  // padding
  EXPECT_EQ(parsed(empty).length, 40u);
}

TEST(Parse, TheUdpLengthEndsTheTransport) {
  auto [bytes, layout] =
      PacketBuilder(kV4).udp(1, 2).payload(filled(5)).udp_surplus(filled(9)).build();
  const Packet packet = parsed(bytes);
  EXPECT_EQ(packet.transport_end, 33u);
  EXPECT_EQ(packet.size, 42u);
}

TEST(Parse, TellsFragmentsApart) {
  for (PacketBuilder builder : {kV4, kV6}) {
    auto [first, later] = testing::split(builder.udp(1, 2).payload(filled(100)).build(), 32);
    const Packet a = parsed(first.bytes), b = parsed(later.bytes);
    EXPECT_TRUE(a.fragment && !a.later_fragment);
    EXPECT_EQ(a.stop, ParseStop::kComplete);
    EXPECT_EQ(a.transport_end, a.length);  // the UDP length speaks of the whole datagram
    EXPECT_TRUE(b.fragment && b.later_fragment);
    EXPECT_EQ(b.stop, ParseStop::kLaterFragment);
    EXPECT_EQ(b.protocol, 17);
    EXPECT_EQ(b.transport, 0u);
    EXPECT_EQ(b.payload, 0u);
    EXPECT_EQ(b.header, b.family == Family::kIpv4 ? 20u : 48u);
    EXPECT_FALSE(b.has_ports());
  }
}

TEST(Parse, SourceRouteThatMakesNoSenseLeavesTheHeadersDestination) {
  for (const char* options : {"83", "8302", "830704", "83060400 0000", "83080400 00000000",
                              "01830f04", "0083070400000000", "83070800 000000"}) {
    ByteVector bytes = PacketBuilder(kV4).options(hex(options)).udp(1, 2).build().bytes;
    const Packet packet = parsed(bytes);
    EXPECT_EQ(packet.final_destination, 16u) << options;
    EXPECT_EQ(packet.stop, ParseStop::kComplete) << options;
  }
}

// ---- Quotes -----------------------------------------------------------------------------------

ByteVector error_around(const ByteVector& quote, uint8_t type, uint32_t rest = 0) {
  PacketBuilder outer = load_u8(quote.data()) >> 4 == 4 ? kV4 : kV6;
  return outer.icmp(type, 0, rest).payload(quote).build().bytes;
}

TEST(Quote, IsFoundInErrorsAlone) {
  const ByteVector v4 = PacketBuilder(kV4).udp(1, 2).payload(filled(8)).build().bytes;
  const ByteVector v6 = PacketBuilder(kV6).udp(1, 2).payload(filled(8)).build().bytes;
  Packet quote;
  for (int type = 0; type < 256; ++type) {
    ByteVector outer = error_around(v4, static_cast<uint8_t>(type));
    const bool error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
    EXPECT_EQ(parse_quoted(parsed(outer), &quote), error) << type;
    outer = error_around(v6, static_cast<uint8_t>(type));
    EXPECT_EQ(parse_quoted(parsed(outer), &quote), type >= 1 && type <= 4) << type;
  }
  ByteVector udp = v4;
  EXPECT_FALSE(parse_quoted(parsed(udp), &quote));
  ByteVector empty = error_around({std::byte{0x45}}, 3);
  empty.pop_back();
  EXPECT_FALSE(parse_quoted(parsed(empty), &quote));
}

TEST(Quote, IsParsedAsFarAsItIsThere) {
  const Built inner = PacketBuilder(kV4).tcp(7, 8).payload(filled(100)).build();
  for (size_t size = 1; size <= inner.bytes.size(); ++size) {
    ByteVector outer =
        error_around({inner.bytes.begin(), inner.bytes.begin() + static_cast<ptrdiff_t>(size)}, 11);
    Packet quote;
    ASSERT_TRUE(parse_quoted(parsed(outer), &quote));
    EXPECT_EQ(quote.data, outer.data() + 28);
    EXPECT_EQ(quote.size, size);
    const ParseStop expected = size < 20   ? ParseStop::kTruncatedNetwork
                               : size < 40 ? ParseStop::kTruncatedTransport
                                           : ParseStop::kComplete;
    EXPECT_EQ(quote.stop, expected) << size;
    EXPECT_EQ(quote.transport, size < 20 ? 0u : 20u);
    if (size >= 20) {
      EXPECT_EQ(quote.length, inner.bytes.size());
    }
  }
}

TEST(Quote, EndsWhereRfc4884SaysExtensionsBegin) {
  ByteVector quoted = PacketBuilder(kV4).udp(7, 8).payload(filled(300)).build().bytes;
  quoted.resize(128);
  ByteVector with_extensions = quoted;
  with_extensions.resize(148, std::byte{0xee});
  Packet quote;
  ByteVector outer = error_around(with_extensions, 11, 32 << 16);
  ASSERT_TRUE(parse_quoted(parsed(outer), &quote));
  EXPECT_EQ(quote.size, 128u);
  outer = error_around(with_extensions, 5, 32 << 16);  // a redirect's gateway, no length
  ASSERT_TRUE(parse_quoted(parsed(outer), &quote));
  EXPECT_EQ(quote.size, 148u);

  ByteVector v6 = PacketBuilder(kV6).udp(7, 8).payload(filled(300)).build().bytes;
  v6.resize(148);
  outer = error_around(v6, 3, uint32_t{16} << 24);
  ASSERT_TRUE(parse_quoted(parsed(outer), &quote));
  EXPECT_EQ(quote.size, 128u);
  outer = error_around(v6, 2, uint32_t{16} << 24);  // an MTU, no length
  ASSERT_TRUE(parse_quoted(parsed(outer), &quote));
  EXPECT_EQ(quote.size, 148u);
}

// ---- Places -----------------------------------------------------------------------------------

struct Place {
  Origin origin;
  uint32_t at;
  int offset;  // -1: no such place
};
void expect_places(const char* what, ByteVector bytes, std::initializer_list<Place> places) {
  const Packet packet = parsed(bytes);
  for (const Place& place : places) {
    uint32_t offset = 0;
    const bool found = resolve(packet, place.origin, place.at, &offset);
    EXPECT_EQ(found ? static_cast<int>(offset) : -1, place.offset)
        << what << " origin " << static_cast<int>(place.origin) << " at " << place.at;
  }
}

TEST(Resolve, CountsFromEachOrigin) {
  using enum Origin;
  expect_places("udp", PacketBuilder(kV4).udp(1, 2).payload(filled(4)).build().bytes,
                {{kNetwork, 0, 0},
                 {kNetwork, 31, 31},
                 {kNetwork, 32, -1},
                 {kTransport, 0, 20},
                 {kTransport, 11, 31},
                 {kTransport, 12, -1},
                 {kPayload, 0, 28},
                 {kPayload, 3, 31},
                 {kPayload, 4, -1},
                 {kPayload, 0xffffffff, -1},
                 {kNetwork, 0xffffffff, -1},
                 {kQuotedNetwork, 0, -1}});
  expect_places("udp without payload", PacketBuilder(kV4).udp(1, 2).build().bytes,
                {{kPayload, 0, -1}});
  expect_places(
      "udp surplus",
      PacketBuilder(kV4).udp(1, 2).payload(filled(1)).udp_surplus(filled(4)).build().bytes,
      {{kPayload, 0, 28}, {kPayload, 1, -1}, {kNetwork, 30, 30}});
  expect_places("gre", PacketBuilder(kV4).protocol(47).payload(filled(4)).build().bytes,
                {{kPayload, 0, 20}, {kTransport, 3, 23}});
  auto fragments = testing::split(PacketBuilder(kV6).udp(1, 2).payload(filled(40)).build(), 16);
  expect_places("later fragment", fragments.second.bytes,
                {{kNetwork, 47, 47}, {kNetwork, 48, 48}, {kTransport, 0, -1}, {kPayload, 0, -1}});
  expect_places("not ip", hex("00"), {{kTransport, 0, -1}, {kPayload, 0, -1}});
}

TEST(Resolve, GivesPlacesOfTheQuoteInTheOuterPacket) {
  using enum Origin;
  ByteVector inner = PacketBuilder(kV4).tcp(1, 2).payload(filled(50)).build().bytes;
  inner.resize(28);
  expect_places("quote of 28 bytes", error_around(inner, 3),
                {{kQuotedNetwork, 0, 28},
                 {kQuotedNetwork, 27, 55},
                 {kQuotedNetwork, 28, -1},
                 {kQuotedTransport, 0, 48},
                 {kQuotedTransport, 7, 55},
                 {kQuotedTransport, 8, -1}});
  inner.resize(20);
  expect_places("quote of a bare header", error_around(inner, 3),
                {{kQuotedNetwork, 19, 47}, {kQuotedTransport, 0, -1}});
}

TEST(Names, AreThereForAll) {
  for (int stop = 0; stop <= static_cast<int>(ParseStop::kBadTransportLength); ++stop) {
    EXPECT_NE(to_string(static_cast<ParseStop>(stop)), "unknown");
  }
  EXPECT_EQ(to_string(Hook::kPrerouting), "prerouting");
  EXPECT_EQ(to_string(Hook::kNone), "none");
}

}  // namespace
}  // namespace fettle
