// Addresses in SIP messages and session descriptions: which are translated, and which stay.
#include "rules/sip_message.h"

#include <memory>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/text_message.h"

namespace fettle {
namespace {

// 10.9.1.2 = 198.51.100.1, 203.0.113.200 = 9.9.9.9, fd00::2 = 2001:db8::200
AddressTable table() {
  const auto entry = [](const char* inside, const char* outside) {
    return TableEntry{*Prefix::parse(inside), *Prefix::parse(outside), {}};
  };
  size_t duplicate = 0;
  return *AddressTable::build({entry("10.9.1.2", "198.51.100.1"), entry("203.0.113.200", "9.9.9.9"),
                               entry("fd00::2", "2001:db8::200")},
                              false, &duplicate);
}

// Exactly as large as the text, so that a sanitizer sees a read beyond.
std::vector<std::byte> copy(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string edited(std::string text, const EditList& list) {
  const auto edits = list.edits();
  for (size_t i = edits.size(); i-- > 0;) {
    const auto with = edits[i].with;
    text.replace(edits[i].offset, edits[i].length, reinterpret_cast<const char*>(with.data()),
                 with.size());
  }
  return text;
}

using Find = void(const AddressTable&, std::span<const std::byte>, EditList&) noexcept;
std::string found(Find* find, const std::string& text) {
  const auto list = std::make_unique<EditList>();
  const auto message = copy(text);
  find(table(), message, *list);
  EXPECT_FALSE(list->full());
  return edited(text, *list);
}

std::string with_line(std::string_view line) {
  return fmt::format("OPTIONS sip:a SIP/2.0\r\nX: y\r\n{}\r\nY: z\r\n\r\n", line);
}

struct Becomes {
  const char* before;
  const char* after;  // nothing: it stays
};
void expect_lines(Find* find, std::string (*message)(std::string_view),
                  std::initializer_list<Becomes> cases) {
  for (const auto& [before, after] : cases) {
    EXPECT_EQ(found(find, message(before)), message(after ? after : before)) << before;
  }
}

TEST(SipMessage, HostsOfHeadersThatBearUris) {
  for (const char* name : {"From",
                           "f",
                           "To",
                           "t",
                           "Contact",
                           "m",
                           "Route",
                           "Record-Route",
                           "Path",
                           "Service-Route",
                           "Refer-To",
                           "r",
                           "Referred-By",
                           "b",
                           "Reply-To",
                           "P-Asserted-Identity",
                           "P-Preferred-Identity",
                           "P-Associated-URI",
                           "P-Called-Party-ID",
                           "Remote-Party-ID",
                           "Diversion",
                           "History-Info",
                           "CONTACT",
                           "contact \t"}) {
    for (const char* value : {"{}: <sip:a@{}>;tag=1", "{}:\"x\" <sips:{}:5060;lr>", "{}: sip:{}",
                              "{}: x y <sip:b>, <sip:a:b@{};x>", "{} : <sip:b>;q=1,sip:c@{};x"}) {
      EXPECT_EQ(found(find_sip, with_line(fmt::format(fmt::runtime(value), name, "10.9.1.2"))),
                with_line(fmt::format(fmt::runtime(value), name, "198.51.100.1")));
    }
  }
}

TEST(SipMessage, PartsOfUris) {
  expect_lines(
      find_sip, with_line,
      {{"From: <sip:10.9.1.2@10.9.1.2>", "From: <sip:10.9.1.2@198.51.100.1>"},
       {"From: <sip:10.9.1.2@example.com>", nullptr},
       {"From: \"10.9.1.2 <sip:10.9.1.2>\" <sip:a>", nullptr},
       {"From: \"a \\\" 10.9.1.2\" <sip:10.9.1.2>", "From: \"a \\\" 10.9.1.2\" <sip:198.51.100.1>"},
       {"From: 10.9.1.2 <sip:a>", nullptr},
       {"From: sip:a@10.9.1.2;tag=10.9.1.2", "From: sip:a@198.51.100.1;tag=10.9.1.2"},
       {"To: <sip:a;x=10.9.1.2@b>;tag=10.9.1.2", nullptr},
       {"m: <sip:a@b;MAddr=10.9.1.2;lr>", "m: <sip:a@b;MAddr=198.51.100.1;lr>"},
       {"m: <sip:a@b>;received=\"sip:10.9.1.2:5060\"",
        "m: <sip:a@b>;received=\"sip:198.51.100.1:5060\""},
       {"Contact: *", nullptr},
       {"Contact: <http://10.9.1.2/a>", "Contact: <http://198.51.100.1/a>"},
       {"Contact: <sip:10.9.1.2", "Contact: <sip:198.51.100.1"},
       {"Contact: \"<sip:10.9.1.2>", nullptr},
       {"Refer-To: <sip:10.9.1.2?Replaces=1%4010.9.1.2%3Bto-tag%3D2>",
        "Refer-To: <sip:198.51.100.1?Replaces=1%40198.51.100.1%3Bto-tag%3D2>"},
       {"Refer-To: <sip:u%4010.9.1.2@b>", nullptr}});
}

TEST(SipMessage, AHostIsAnAddressAsAWhole) {
  expect_lines(find_sip, with_line,
               {{"m: <sip:a@10.9.1.23>", nullptr},
                {"m: <sip:a@110.9.1.2>", nullptr},
                {"m: <sip:a@10.9.1.2.3>", nullptr},
                {"m: <sip:a@10.9.1.2.example.net>", nullptr},
                {"m: <sip:a@10.9.1.2-x.example.net>", nullptr},
                {"m: <sip:a@10.9.01.2>", nullptr},
                {"m: <sip:a@x10.9.1.2>", nullptr},
                {"m: <sip:a@203.0.113.200:1>", "m: <sip:a@9.9.9.9:1>"},
                {"m: <sip:a@[fd00::2]>", "m: <sip:a@[2001:db8::200]>"},
                {"m: <sip:[fd00:0::2]:5060;lr>", "m: <sip:[2001:db8::200]:5060;lr>"},
                {"m: <sip:a@[fd00::2%25eth0]>", nullptr},
                {"m: <sip:a@[fd00::2>", nullptr},
                {"m: <sip:a@[fd00::23]>", nullptr},
                {"m: <sip:a@[>", nullptr},
                {"m: <sip:a@>", nullptr},
                {"m: <sip:>", nullptr}});
}

TEST(SipMessage, ViaAndWarning) {
  expect_lines(
      find_sip, with_line,
      {{"Via: SIP/2.0/UDP 10.9.1.2:5060;branch=z9hG4bK-10.9.1.2",
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK-10.9.1.2"},
       {"v:SIP / 2.0 / UDP 10.9.1.2 : 1 ; received = 10.9.1.2 ; branch = 10.9.1.2",
        "v:SIP / 2.0 / UDP 198.51.100.1 : 1 ; received = 198.51.100.1 ; branch = 10.9.1.2"},
       {"Via: SIP/2.0/TCP a;maddr=10.9.1.2;RECEIVED=fd00::2;rport=1",
        "Via: SIP/2.0/TCP a;maddr=198.51.100.1;RECEIVED=2001:db8::200;rport=1"},
       {"Via: SIP/2.0/UDP [fd00::2]:5060;received=[fd00::2]",
        "Via: SIP/2.0/UDP [2001:db8::200]:5060;received=[2001:db8::200]"},
       {"Via: SIP/2.0/UDP a;x=y, SIP/2.0/UDP 10.9.1.2",
        "Via: SIP/2.0/UDP a;x=y, SIP/2.0/UDP 198.51.100.1"},
       {"Warning: 399 10.9.1.2:1 \"at 10.9.1.2\", 370 10.9.1.2 \"\"",
        "Warning: 399 198.51.100.1:1 \"at 10.9.1.2\", 370 198.51.100.1 \"\""}});
}

TEST(SipMessage, CallsAreNamedAlikeEverywhere) {
  expect_lines(
      find_sip, with_line,
      {{"Call-ID: a-1@10.9.1.2", "Call-ID: a-1@198.51.100.1"},
       {"i:a@[fd00::2]", "i:a@[2001:db8::200]"},
       {"Call-ID: 10.9.1.2", nullptr},
       {"In-Reply-To: 1@10.9.1.2, 2@10.9.1.2", "In-Reply-To: 1@198.51.100.1, 2@198.51.100.1"},
       {"Replaces: 1@10.9.1.2;to-tag=10.9.1.2", "Replaces: 1@198.51.100.1;to-tag=10.9.1.2"},
       {"Join: 1@10.9.1.2;to-tag=1", "Join: 1@198.51.100.1;to-tag=1"},
       {"Target-Dialog: 1@10.9.1.2;x", "Target-Dialog: 1@198.51.100.1;x"}});
}

TEST(SipMessage, FoldedLinesBelongToTheirHeader) {
  expect_lines(find_sip, with_line,
               {{"Route: <sip:b>,\r\n\t<sip:10.9.1.2>\r\n , <sip:a@10.9.1.2>",
                 "Route: <sip:b>,\r\n\t<sip:198.51.100.1>\r\n , <sip:a@198.51.100.1>"},
                {"Via:\r\n SIP/2.0/UDP\r\n 10.9.1.2\r\n ;received=\r\n 10.9.1.2",
                 "Via:\r\n SIP/2.0/UDP\r\n 198.51.100.1\r\n ;received=\r\n 198.51.100.1"},
                {"Subject: a\r\n Contact: <sip:10.9.1.2>", nullptr},
                {"no header\r\n Contact: <sip:10.9.1.2>", nullptr}});
}

TEST(SipMessage, OtherHeadersStay) {
  expect_lines(find_sip, with_line,
               {{"Subject: <sip:a@10.9.1.2>", nullptr},
                {"User-Agent: x@10.9.1.2", nullptr},
                {"Authorization: Digest uri=\"sip:10.9.1.2\", x=<sip:10.9.1.2>", nullptr},
                {"X-Contact: <sip:10.9.1.2>", nullptr},
                {"Contac: <sip:10.9.1.2>", nullptr},
                {"c: <sip:10.9.1.2>", nullptr},
                {"Contact <sip:10.9.1.2>", nullptr},
                {"Contact:", nullptr},
                {" Contact: <sip:10.9.1.2>", nullptr}});
}

std::string start_line(std::string_view line) {
  return fmt::format("{}\r\nm: sip:a\r\n\r\n", line);
}
TEST(SipMessage, TheStartLine) {
  expect_lines(find_sip, start_line,
               {{"INVITE sip:a@10.9.1.2:5060;maddr=10.9.1.2 SIP/2.0",
                 "INVITE sip:a@198.51.100.1:5060;maddr=198.51.100.1 SIP/2.0"},
                {"REGISTER sip:[fd00::2] SIP/2.0", "REGISTER sip:[2001:db8::200] SIP/2.0"},
                {"ACK sip:10.9.1.2@b SIP/2.0", nullptr},
                {"SIP/2.0 200 sip:10.9.1.2", nullptr}});
  const auto is_sip = [](std::string_view line) { return is_sip_message(copy(start_line(line))); };
  for (const char* line : {"ACK x SIP/2.0", "SIP/2.0 200", "SIP/2.0 200 OK then", "SIP/2.0 404 "}) {
    EXPECT_TRUE(is_sip(line)) << line;
  }
  for (const char* line :
       {"", "ACK  SIP/2.0", " x SIP/2.0", "ACK x y SIP/2.0", "x SIP/2.0", "SIP/2.0", "SIP/2.0 20",
        "SIP/2.0 2000", "SIP/2.0 20x", "SIP/2.0200", "ACK x SIP/3.0", "ACK x SIP/2.0 ",
        "GET / HTTP/1.1", "HTTP/1.1 200 OK"}) {
    EXPECT_FALSE(is_sip(line)) << line;
    EXPECT_EQ(found(find_sip, fmt::format("{}\r\nm: <sip:10.9.1.2>\r\n\r\n", line)),
              fmt::format("{}\r\nm: <sip:10.9.1.2>\r\n\r\n", line));
  }
}

std::string sdp(std::string_view line) {
  return fmt::format("SIP/2.0 200 OK\r\nm: x\r\nc: application/sdp\r\n\r\nv=0\r\n{}\r\nt=0 0\r\n",
                     line);
}
TEST(Sdp, LinesThatBearAddresses) {
  const std::initializer_list<Becomes> cases = {
      {"o=- 1 1 IN IP4 10.9.1.2", "o=- 1 1 IN IP4 198.51.100.1"},
      {"o=10.9.1.2 1 1 IN IP6 fd00::2 ", "o=10.9.1.2 1 1 IN IP6 2001:db8::200 "},
      {"o=10.9.1.2 1 1 IN IP4 a.example", nullptr},
      {"c=IN IP4 10.9.1.2", "c=IN IP4 198.51.100.1"},
      {"c=IN IP4 10.9.1.2/127/3", "c=IN IP4 198.51.100.1/127/3"},
      {"c=IN IP6 fd00::2/3", "c=IN IP6 2001:db8::200/3"},
      {"c=IN IP4 10.9.1.23", nullptr},
      {"c=IN IP4 10.9.1.2.3", nullptr},
      {"c=IN IP4 10.9.1.2-a", nullptr},
      {"c=10.9.1.2", nullptr},
      {"a=rtcp:53020 IN IP4 10.9.1.2", "a=rtcp:53020 IN IP4 198.51.100.1"},
      {"a=rtcp:53020", nullptr},
      {"a=candidate:1 1 UDP 2130706431 10.9.1.2 5000 typ host",
       "a=candidate:1 1 UDP 2130706431 198.51.100.1 5000 typ host"},
      {"a=candidate:2 1 UDP 1 9.8.7.6 5000 typ srflx raddr 10.9.1.2 rport 8",
       "a=candidate:2 1 UDP 1 9.8.7.6 5000 typ srflx raddr 198.51.100.1 rport 8"},
      {"a=candidate:1 1 UDP 1 a.local 10.9.1.2 typ host x 10.9.1.2", nullptr},
      {"a=remote-candidates:1 10.9.1.2 5000 2 fd00::2 5001",
       "a=remote-candidates:1 198.51.100.1 5000 2 2001:db8::200 5001"},
      {"a=source-filter: incl IN IP4 232.3.4.5 10.9.1.2 203.0.113.200",
       "a=source-filter: incl IN IP4 232.3.4.5 198.51.100.1 9.9.9.9"},
      {"a=source-filter:incl IN IP4 * 10.9.1.2", "a=source-filter:incl IN IP4 * 198.51.100.1"},
      {"s=10.9.1.2", nullptr},
      {"i=c=IN IP4 10.9.1.2", nullptr},
      {" c=IN IP4 10.9.1.2", nullptr},
      {"C=IN IP4 10.9.1.2", nullptr},
      {"m=audio 5000 RTP/AVP 8 10.9.1.2", nullptr},
      {"a=tool:10.9.1.2", nullptr},
      {"o=", nullptr},
      {"c=", nullptr}};
  expect_lines(find_sip, sdp, cases);
  expect_lines(find_sdp, sdp, cases);
}

struct BodyCase {
  const char* name;
  const char* message;  // with %s where the address stands
  bool sip, sdp;        // who translates it
};
class SdpBodyTest : public ::testing::TestWithParam<BodyCase> {};

TEST_P(SdpBodyTest, IsFoundByItsHeaders) {
  const auto& [name, message, sip, sdp] = GetParam();
  const auto with = [&](const char* address) {
    std::string out = message;
    return out.replace(out.find("%s"), 2, address);
  };
  EXPECT_EQ(found(find_sip, with("10.9.1.2")), with(sip ? "198.51.100.1" : "10.9.1.2"));
  EXPECT_EQ(found(find_sdp, with("10.9.1.2")), with(sdp ? "198.51.100.1" : "10.9.1.2"));
}

INSTANTIATE_TEST_SUITE_P(
    All, SdpBodyTest,
    ::testing::Values(
        BodyCase{"Sip", "ACK x SIP/2.0\r\nContent-Type: application/sdp\r\n\r\nc=IN IP4 %s", true,
                 true},
        BodyCase{"AnyCaseAndParameters",
                 "ACK x SIP/2.0\r\nC : Application/SDP ; charset=x\r\n\r\nc=IN IP4 %s\r\n", true,
                 true},
        BodyCase{"BareLineFeeds", "ACK x SIP/2.0\nc:application/sdp;a\n\nv=0\nc=IN IP4 %s\n", true,
                 true},
        BodyCase{"Folded", "ACK x SIP/2.0\r\nc: application/sdp\r\n ;x=y\r\n\r\nc=IN IP4 %s\r\n",
                 true, true},
        BodyCase{"Multipart",
                 "ACK x SIP/2.0\r\nc: multipart/mixed;boundary=b\r\n\r\n--b\r\nContent-Type: "
                 "application/sdp\r\n\r\nc=IN IP4 %s\r\n--b--\r\n",
                 true, true},
        BodyCase{"Rtsp", "RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\nc=IN IP4 %s\r\n",
                 false, true},
        BodyCase{"CompactIsSipsAlone", "HTTP/1.1 200 OK\r\nc: application/sdp\r\n\r\nc=IN IP4 %s",
                 false, false},
        BodyCase{"OtherType", "ACK x SIP/2.0\r\nc: text/plain\r\n\r\nc=IN IP4 %s\r\n", false,
                 false},
        BodyCase{"LongerType", "ACK x SIP/2.0\r\nc: application/sdpx\r\n\r\nc=IN IP4 %s\r\n", false,
                 false},
        BodyCase{"NoType", "ACK x SIP/2.0\r\nl: 21\r\n\r\nc=IN IP4 %s\r\n", false, false},
        BodyCase{"Encoded", "ACK x SIP/2.0\r\nc: application/sdp\r\ne: gzip\r\n\r\nc=IN IP4 %s\r\n",
                 false, false},
        BodyCase{"BehindTheBody",
                 "ACK x SIP/2.0\r\nc: application/sdp\r\nl: 5\r\n\r\nv=0\r\nc=IN IP4 %s\r\n", false,
                 false},
        BodyCase{"HeadersDoNotEnd", "ACK x SIP/2.0\r\nc: application/sdp\r\nc=IN IP4 %s\r\n", false,
                 false},
        BodyCase{"InTheHeaders", "ACK x SIP/2.0\r\nc: application/sdp\r\no=a IP4 %s\r\n\r\n", false,
                 false}),
    [](const auto& instance) { return std::string(instance.param.name); });

// What both do to a message: the addresses, then the length.
std::string mended(const std::string& text) {
  const auto list = std::make_unique<EditList>();
  const auto message = copy(text);
  find_sip(table(), message, *list);
  const size_t edits = list->edits().size();
  if (mend_content_length(message, *list)) return edited(text, *list);
  EXPECT_EQ(list->edits().size(), edits);
  return "";
}

struct LengthCase {
  const char* name;
  const char* before;
  const char* after;  // "": it cannot be mended
};
class MendTest : public ::testing::TestWithParam<LengthCase> {};

TEST_P(MendTest, TheLengthFollowsTheBody) {
  const auto& [name, before, after] = GetParam();
  const auto message = [](const char* headers, const char* address) {
    return fmt::format(
        "ACK x SIP/2.0\r\nm: <sip:{}>\r\n{}c: application/sdp\r\n\r\nc=IN IP4 {}\r\n", address,
        headers, address);
  };
  const std::string wanted =
      after[0] == '\0' && before[0] != '\0' ? "" : message(after, "198.51.100.1");
  EXPECT_EQ(mended(message(before, "10.9.1.2")), wanted);
}

INSTANTIATE_TEST_SUITE_P(
    All, MendTest,
    ::testing::Values(LengthCase{"Grows", "Content-Length: 19\r\n", "Content-Length: 23\r\n"},
                      LengthCase{"Compact", "l:19\r\n", "l:23\r\n"},
                      LengthCase{"MoreThanThereIs", "l: 98\r\n", "l: 102\r\n"},
                      LengthCase{"LeadingZeros", "l: 0019\r\n", "l: 23\r\n"},
                      LengthCase{"Absent", "", ""},
                      LengthCase{"Twice", "l: 19\r\nContent-Length: 19\r\n", ""},
                      LengthCase{"NoNumber", "l: x\r\n", ""},
                      LengthCase{"List", "l: 19, 19\r\n", ""},
                      LengthCase{"Chunked", "Transfer-Encoding: chunked\r\n", ""}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(MendContentLength, LeavesWhatNeedsNoMending) {
  // No growth of the body, though the length is wrong or not clear.
  const auto headers_only = [](const char* address, const char* lengths) {
    return fmt::format("ACK x SIP/2.0\r\nm: <sip:{}>\r\n{}\r\nabc", address, lengths);
  };
  for (const char* lengths : {"", "l: 0\r\n", "l: 7\r\n", "l: 1\r\nl: 2\r\n", "l: z\r\n"}) {
    EXPECT_EQ(mended(headers_only("10.9.1.2", lengths)), headers_only("198.51.100.1", lengths));
  }
}

TEST(SipMessage, TruncatedMessagesGetNoEdits) {
  const std::string text =
      "ACK sip:10.9.1.2 SIP/2.0\r\nm: <sip:10.9.1.2>\r\nc: application/sdp\r\n\r\n";
  for (size_t size = 0; size < text.size(); ++size) {
    const std::string part = text.substr(0, size);
    EXPECT_EQ(found(find_sip, part), part) << size;
    EXPECT_EQ(found(find_sdp, part + "c=IN IP4 10.9.1.2"), part + "c=IN IP4 10.9.1.2") << size;
  }
  EXPECT_NE(found(find_sip, text), text);
}

TEST(SipMessage, MoreAddressesThanAListHoldsAreTold) {
  const auto list = std::make_unique<EditList>();
  std::string text = "ACK x SIP/2.0\r\nRoute: ";
  for (uint32_t i = 0; i < EditList::kMost; ++i) text += "<sip:10.9.1.2>,";
  find_sip(table(), copy(text + "\r\n\r\n"), *list);
  EXPECT_FALSE(list->full());
  EXPECT_EQ(list->edits().size(), size_t{EditList::kMost});
  list->clear();
  find_sip(table(), copy(text + "<sip:10.9.1.2>\r\n\r\n"), *list);
  EXPECT_TRUE(list->full());
}

TEST(SipMessage, HostileValuesCostNoMoreThanTheirLength) {
  for (const char* piece :
       {"<", ";", ";received", ";received=", "; maddr=:", "@", "%40", "\"", "\\", ":",
        "sip:", "@[:", "1.2.3.", "fd00:", ",", "<sip:?", "a@:::::", "\r\n "}) {
    for (const char* name : {"Via", "m", "i", "c"}) {
      std::string text = fmt::format("ACK x SIP/2.0\r\n{}: <sip:", name);
      while (text.size() < 200'000) text += piece;
      text += "\r\nc: multipart/x\r\n\r\n";
      for (const char* line : {"o=", "a=source-filter: ", "a=candidate:1 raddr "}) {
        text += line;
        for (int i = 0; i < 20'000; ++i) text += piece;
        text += '\n';
      }
      EXPECT_EQ(found(find_sip, text), text);
    }
  }
}

}  // namespace
}  // namespace fettle
