// DNS messages translated: bytes that were worked out by hand, and what is refused. dns_test.py has
// tshark as a witness, over messages by the thousand.
#include "rules/dns_message.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/dns_name.h"
#include "tests/packet_judge.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::hex;
using testing::to_hex;
using Outcome = DnsTranslation::Outcome;

// 198.51.100.1 = 10.9.1.22, 198.51.100.2 = 1.2.3.4, 192.0.2.0/24 = 10.1.2.0/24,
// 9.9.9.9 = 203.0.113.200, 2001:db8::1 = fd00::ab
AddressTable table() {
  const auto entry = [](const char* inside, const char* outside) {
    return TableEntry{*Prefix::parse(inside), *Prefix::parse(outside), {}};
  };
  size_t duplicate = 0;
  return *AddressTable::build({entry("198.51.100.1", "10.9.1.22"), entry("198.51.100.2", "1.2.3.4"),
                               entry("192.0.2.0/24", "10.1.2.0/24"),
                               entry("2001:db8::1", "fd00::ab"), entry("9.9.9.9", "203.0.113.200")},
                              false, &duplicate);
}

// A message put together by its parts.
class Message {
 public:
  Message(uint16_t questions, uint16_t answers, uint16_t authority = 0, uint16_t additional = 0,
          uint16_t flags = 0x8180) {
    for (const uint16_t word : {uint16_t{0x1234}, flags, questions, answers, authority, additional})
      u16(word);
  }
  Message& u16(uint32_t number) { return raw(fmt::format("{:04x}", number & 0xffff)); }
  Message& raw(std::string_view digits) {
    const ByteVector more = hex(digits);
    bytes.insert(bytes.end(), more.begin(), more.end());
    return *this;
  }
  // Whole, or up to a pointer: "www.example." or "www>12".
  Message& name(std::string_view text) {
    while (!text.empty() && text[0] != '>') {
      const size_t end = text.find_first_of(".>");
      raw(fmt::format("{:02x}", end));
      for (const char c : text.substr(0, end)) bytes.push_back(static_cast<std::byte>(c));
      text.remove_prefix(end + (text[end] == '.' ? 1 : 0));
    }
    if (text.empty()) return raw("00");
    return u16(0xc000u | static_cast<uint32_t>(std::stoi(std::string(text.substr(1)))));
  }
  Message& question(std::string_view text, uint16_t type) { return name(text).u16(type).u16(1); }
  Message& record(std::string_view owner, uint16_t type, uint32_t length, uint16_t dns_class = 1) {
    return name(owner).u16(type).u16(dns_class).raw("0000003c").u16(length);
  }
  ByteVector bytes;
};

struct Result {
  Outcome outcome;
  std::string bytes;
};
Result translated(const Message& message, size_t room = kLongestDnsMessage) {
  ByteVector out(room);
  const DnsTranslation done = translate_dns(message.bytes, table(), out);
  return {done.outcome, to_hex({out.data(), done.size})};
}
void expect_becomes(const Message& before, const Message& after) {
  const Result result = translated(before);
  EXPECT_EQ(result.outcome, Outcome::kChanged);
  EXPECT_EQ(result.bytes, to_hex(after.bytes));
}

constexpr uint16_t kA = 1, kNs = 2, kCname = 5, kSoa = 6, kPtr = 12, kMx = 15, kTxt = 16,
                   kAaaa = 28, kSrv = 33, kNaptr = 35, kOpt = 41, kHttps = 65, kTsig = 250;

TEST(DnsMessage, AddressesBecomeOthersInAllSectionsAndNothingElseDoes) {
  const auto message = [](const char* one, const char* two, const char* six, const char* chaos) {
    return Message(1, 2, 1, 2)
        .question("www.lab.example.", kA)
        .record(">12", kCname, 4)
        .name("a>16")
        .record("a>16", kA, 4)
        .raw(one)
        .record(">16", kNs, 5)
        .name("ns>16")
        .record("ns>16", kA, 4, 3)
        .raw(chaos)
        .record("v6.", kAaaa, 16)
        .raw(six)
        .raw(two);  // behind the last record: whatever it is
  };
  expect_becomes(message("c6336401", "c6336401", "20010db8000000000000000000000001", "c6336401"),
                 message("0a090116", "c6336401", "fd0000000000000000000000000000ab", "c6336401"));
}

TEST(DnsMessage, PrefixesMapHostForHostAndMdnsFlagIsNoClass) {
  expect_becomes(Message(0, 1).record("p.local.", kA, 4, 0x8001).raw("c000024d"),
                 Message(0, 1).record("p.local.", kA, 4, 0x8001).raw("0a01024d"));
}

TEST(DnsMessage, QuestionsForReverseNamesBecomeLongerOrShorter) {
  expect_becomes(Message(1, 0, 0, 0, 0x0100).question("1.100.51.198.in-addr.arpa.", kPtr),
                 Message(1, 0, 0, 0, 0x0100).question("22.1.9.10.in-addr.arpa.", kPtr));
  expect_becomes(Message(1, 0, 0, 0, 0x0100).question("2.100.51.198.In-AddR.ARPA.", kPtr),
                 Message(1, 0, 0, 0, 0x0100).question("4.3.2.1.In-AddR.ARPA.", kPtr));
  expect_becomes(Message(1, 0, 0, 0, 0x0100).question("9.9.9.9.in-addr.arpa.", kPtr),
                 Message(1, 0, 0, 0, 0x0100).question("200.113.0.203.in-addr.arpa.", kPtr));
}

TEST(DnsMessage, SixteenBytesOfReverseName) {
  const auto name = [](std::string_view digits) {
    std::string out;
    for (const char c : digits) out += fmt::format("{}.", c);
    return out + "ip6.arpa.";
  };
  expect_becomes(Message(1, 0).question(name("1000000000000000000000008BD01002"), kPtr),
                 Message(1, 0).question(name("ba0000000000000000000000000000df"), kPtr));
}

TEST(DnsMessage, PointersFollowNamesThatMove) {
  // The zone's name is a part of the question's: it stays what it was, and so must be written out.
  const Message before = Message(1, 1, 1, 1)
                             .question("1.100.51.198.in-addr.arpa.", kPtr)
                             .record(">12", kPtr, 13)
                             .name("www.example.")
                             .record(">14", kSoa, 29)
                             .name("ns>59")
                             .name("h>59")
                             .raw(
                                 "000000010000000200000003"
                                 "00000004"
                                 "00000005")
                             .record("ns>59", kA, 4)
                             .raw("01020304");
  const Message after = Message(1, 1, 1, 1)
                            .question("22.1.9.10.in-addr.arpa.", kPtr)
                            .record(">12", kPtr, 13)
                            .name("www.example.")
                            .record("100.51.198>22", kSoa, 29)
                            .name("ns>56")
                            .name("h>56")
                            .raw(
                                "000000010000000200000003"
                                "00000004"
                                "00000005")
                            .record(">88", kA, 4)
                            .raw("01020304");
  expect_becomes(before, after);
}

TEST(DnsMessage, NamesInDataOfKnownTypesAreWrittenAnewAndOthersCopied) {
  const auto message = [](const char* question, const char* target, uint32_t length) {
    return Message(1, 6)
        .question(question, kPtr)
        .record(">12", kCname, length)
        .name(target)
        .record("m.", kMx, 5)
        .u16(10)
        .name("x.")
        .record("s.", kSrv, 9)
        .raw("000100020003")
        .name("x.")
        .record("n.", kNaptr, 12)
        .raw(
            "00010002"
            "0173"
            "0145"
            "00")
        .name("x.")
        .record("t.", kTxt, 6)
        .raw("05c00c616263")
        .record("u.", 9999, 4)
        .raw("c00cc00c");
  };
  expect_becomes(message("1.100.51.198.in-addr.arpa.", "1.0/25.100.51.198.in-addr.arpa.", 32),
                 message("22.1.9.10.in-addr.arpa.", "1.0/25.100.51.198.in-addr.arpa.", 32));
}

TEST(DnsMessage, HintsOfServiceBindings) {
  const auto message = [](const char* v4, const char* v6) {
    return Message(0, 1)
        .record("h.", kHttps, 2 + 1 + 7 + 12 + 20)
        .raw("0001 00")
        .raw("0001 0003 026832")
        .raw("0004 0008")
        .raw(v4)
        .raw("0006 0010")
        .raw(v6);
  };
  expect_becomes(message("c6336401 08080808", "20010db8000000000000000000000001"),
                 message("0a090116 08080808", "fd0000000000000000000000000000ab"));
}

TEST(DnsMessage, WhatTheTableHasNotStays) {
  EXPECT_EQ(
      translated(Message(1, 1).question("x.", kA).record(">12", kA, 4).raw("08080808")).outcome,
      Outcome::kUnchanged);
  for (const char* name : {"100.51.198.in-addr.arpa.", "01.100.51.198.in-addr.arpa.",
                           "0.1.100.51.198.in-addr.arpa.", "1.100.51.198.in-addr.example.",
                           "1.100.51.1980.in-addr.arpa.", "256.100.51.198.in-addr.arpa.", "."}) {
    const std::string_view text = name;
    EXPECT_EQ(translated(Message(1, 0).question(text == "." ? "" : text, kPtr)).outcome,
              Outcome::kUnchanged)
        << name;
  }
}

TEST(DnsMessage, WhatCannotBeReadIsRefused) {
  const Message good = Message(1, 1).question("x.", kA).record(">12", kA, 4).raw("c6336401");
  ASSERT_EQ(translated(good).outcome, Outcome::kChanged);
  for (size_t size = 0; size < good.bytes.size(); ++size) {
    Message shorter = good;
    shorter.bytes.resize(size);
    EXPECT_EQ(translated(shorter).outcome, Outcome::kRefused) << size;
  }
  const auto refused = [](const Message& message) {
    EXPECT_EQ(translated(message).outcome, Outcome::kRefused) << to_hex(message.bytes);
  };
  const auto answer = [](const char* owner) {
    return Message(1, 1).question("x.", kA).record(owner, kA, 4).raw("c6336401");
  };
  refused(answer(">19"));   // to itself
  refused(answer("a>19"));  // to its own beginning
  refused(answer(">30"));   // forward
  refused(answer(">2"));    // into the header
  refused(answer(">13"));   // into a label
  refused(answer(">15"));   // into a type
  refused(Message(2, 1).question("x.", kA).record(">12", kA, 4).raw("c6336401"));  // counts lie
  refused(Message(1, 1).question("x.", kA).record(">12", kA, 5).raw("c633640100"));
  refused(Message(1, 1).question("x.", kA).record(">12", kMx, 3).raw("0001").name("x."));
  refused(Message(0, 1).raw("80").record("", kA, 4).raw("c6336401"));  // a label of 128 bytes
  Message long_name(1, 1);
  for (int i = 0; i < 5; ++i) long_name.raw("3f").raw(to_hex(ByteVector(63, std::byte{'a'})));
  refused(long_name.raw("00").u16(kA).u16(1).record("x.", kA, 4).raw("c6336401"));
  refused(Message(1, 1, 0, 0, 0x2800).question("x.", kA).record(">12", kA, 4).raw("c6336401"));
}

TEST(DnsMessage, SignedMessagesAreRefusedWhereTheyWouldChange) {
  const auto message = [](const char* address) {
    return Message(0, 1, 0, 1)
        .record("x.", kA, 4)
        .raw(address)
        .record("key.", kTsig, 3, 255)
        .raw("abcdef");
  };
  EXPECT_EQ(translated(message("c6336401")).outcome, Outcome::kRefused);
  EXPECT_EQ(translated(message("08080808")).outcome, Outcome::kUnchanged);
}

TEST(DnsMessage, GrowsBeyond512BytesOnlyWithEdns) {
  // So many bytes with 9.9.9.9's name.
  const auto message = [](const char* name, uint32_t size, bool edns) {
    constexpr uint32_t kRest = 12 + 26 + 12;  // header, question, the record but its data
    const uint32_t text = size - kRest - (edns ? 11 : 0);
    Message out(1, 1, 0, edns ? 1 : 0);
    out.question(name, kPtr).record(">12", kTxt, text).raw(to_hex(ByteVector(text)));
    if (edns) out.record("", kOpt, 0, 4096);
    return out;
  };
  const char* const kShort = "9.9.9.9.in-addr.arpa.";
  const char* const kLong = "200.113.0.203.in-addr.arpa.";  // 6 bytes longer
  ASSERT_EQ(message(kShort, 506, false).bytes.size(), 506u);
  expect_becomes(message(kShort, 506, false), message(kLong, 506, false));
  EXPECT_EQ(translated(message(kShort, 507, false)).outcome, Outcome::kRefused);
  EXPECT_EQ(translated(message(kShort, 600, false)).outcome, Outcome::kRefused);
  expect_becomes(message(kShort, 507, true), message(kLong, 507, true));
  std::array<std::byte, kLongestDnsMessage> out;
  EXPECT_EQ(
      translate_dns(message(kShort, 600, false).bytes, table(), out, DnsTransport::kStream).outcome,
      Outcome::kChanged);
  // One that becomes shorter may stay longer than that.
  EXPECT_EQ(translated(message("2.100.51.198.in-addr.arpa.", 600, false)).outcome,
            Outcome::kChanged);
  // Room for less than the message, and for none of its growth.
  EXPECT_EQ(translated(message(kShort, 506, false), 505).outcome, Outcome::kRefused);
  EXPECT_EQ(translated(message(kShort, 506, false), 511).outcome, Outcome::kRefused);
}

TEST(DnsMessage, WorkIsBoundedWhateverTheMessageAsksFor) {
  // Each of 5,000 names leads through 60 labels.
  Message message(1, 5000);
  for (int i = 0; i < 60; ++i) message.raw("0161");
  message.raw("00").u16(kA).u16(1);
  for (int i = 0; i < 5000; ++i) message.record(">12", 9999, 0);
  EXPECT_EQ(translated(message).outcome, Outcome::kRefused);
}

TEST(DnsNameWriter, NamesThatCameWholeStayWholeAndServeOthers) {
  const Message message =
      Message(0, 0).name("a.example.").name("b.example.").name("c>14").name(">12");
  DnsNameReader reader(message.bytes);
  ByteVector out(200);
  DnsNameWriter writer(out);
  uint32_t from = 12, to = 12;
  for (int i = 0; i < 4; ++i) {
    DnsName name;
    const auto behind = reader.read(from, &name);
    ASSERT_TRUE(behind);
    const auto written = writer.write(to, name, name.compressed());
    ASSERT_TRUE(written);
    from = *behind, to = *written;
  }
  EXPECT_EQ(to_hex({out.data() + 12, to - 12}),
            to_hex({message.bytes.data() + 12, message.bytes.size() - 12}));
}

}  // namespace
}  // namespace fettle
