// Lengths inside payloads that follow an edit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "rules/text_message.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::hex;
using testing::PacketBuilder;
using testing::to_hex;

ByteVector bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}
ByteVector udp(const ByteVector& payload) {
  return PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).payload(payload).build().bytes;
}

struct Result {
  std::string bytes;
  uint64_t misses = 0;
};
// What rules with these steps, one after the other, make of a packet.
Result run(const std::vector<std::string>& rules, ByteVector bytes) {
  std::string text;
  for (const std::string& steps : rules) {
    text += fmt::format("[[rule]]\nmatch = {{}}\nsteps = [{}]\n", steps);
  }
  const Parsed parsed = parse_rules(text, "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  const auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  EXPECT_TRUE(program) << render(diagnostics, parsed.sources);
  if (!program) return {};
  ProgramCounters counters;
  std::vector<RuleCounters> by_rule(rules.size());
  ProgramState state{.counters = &counters, .rules = by_rule, .log = nullptr};
  const size_t size = bytes.size();
  bytes.resize(size + 100);
  Packet packet = parse({bytes.data(), size});
  packet.capacity = static_cast<uint32_t>(bytes.size());
  Metadata metadata;
  program->apply(packet, metadata, state);
  Result out{to_hex({packet.data, packet.size}), 0};
  for (const RuleCounters& one : by_rule) out.misses += one.misses;
  return out;
}

struct FieldCase {
  const char* name;
  std::vector<std::string> rules;
  const char* before;
  const char* after;
  uint64_t misses = 0;
};
class LengthFieldTest : public ::testing::TestWithParam<FieldCase> {};

TEST_P(LengthFieldTest, FollowsTheEdit) {
  const FieldCase& given = GetParam();
  const Result result = run(given.rules, udp(hex(given.before)));
  EXPECT_EQ(result.bytes, to_hex(udp(hex(given.after))));
  EXPECT_EQ(result.misses, given.misses);
}

const std::string kInsert = "{ insert = 'aabbcc', at = 4 }";
INSTANTIATE_TEST_SUITE_P(
    All, LengthFieldTest,
    ::testing::Values(
        FieldCase{"Grows",
                  {kInsert + ", { length-field = { at = 1, size = 2 } }"},
                  "01 0009 02 05",
                  "01 000c 02 aabbcc 05"},
        FieldCase{"Shrinks",
                  {"{ delete = 2, at = 3 }, { length-field = { at = 1, size = 2 } }"},
                  "01 0009 02 05",
                  "01 0007"},
        FieldCase{"LittleEndian",
                  {kInsert + ", { length-field = { at = 0, size = 4, endian = 'little' } }"},
                  "fe000000 05",
                  "01010000 aabbcc 05"},
        FieldCase{"Units",
                  {"{ insert = '0000000000000000', at = 4 }, "
                   "{ length-field = { at = 2, size = 2, unit = 4 } }"},
                  "80c80006",
                  "80c80008 0000000000000000"},
        FieldCase{"NoMultipleOfTheUnit",
                  {kInsert + ", { length-field = { at = 2, size = 2, unit = 4 } }"},
                  "80c80006",
                  "80c80006 aabbcc",
                  1},
        FieldCase{"SeveralFieldsOfOneEdit",
                  {kInsert + ", { length-field = { at = 0, size = 1 } }, "
                             "{ length-field = { at = 1, size = 1 } }"},
                  "0a 05 00 00",
                  "0d 08 00 00 aabbcc"},
        FieldCase{"EachRuleForItsOwnEdits",
                  {kInsert + ", { length-field = { at = 0, size = 1 } }",
                   "{ insert = '01', at = 4 }, { length-field = { at = 0, size = 1 } }"},
                  "0a 00 00 00",
                  "0e 00 00 00 01 aabbcc"},
        FieldCase{"WhatCameWrongStaysWrongByAsMuch",
                  {kInsert + ", { length-field = { at = 0, size = 1 } }"},
                  "7f 00 00 00",
                  "82 00 00 00 aabbcc"},
        FieldCase{"NoEdit", {"{ length-field = { at = 0, size = 1 } }"}, "7f", "7f"},
        FieldCase{"AMissedEditIsNoGrowth",
                  {"{ delete = 9, at = 1 }, { length-field = { at = 0, size = 1 } }"},
                  "7f00",
                  "7f00",
                  1},
        FieldCase{"Overflow",
                  {kInsert + ", { length-field = { at = 0, size = 1 } }"},
                  "fd 00 00 00",
                  "fd 00 00 00 aabbcc",
                  1},
        FieldCase{"Underflow",
                  {"{ delete = 2, at = 1 }, { length-field = { at = 0, size = 1 } }"},
                  "01 00 00",
                  "01",
                  1},
        FieldCase{"BehindTheEnd",
                  {kInsert + ", { length-field = { at = 6, size = 2 } }"},
                  "00 00 00 00",
                  "00 00 00 00 aabbcc",
                  1}),
    [](const auto& instance) { return std::string(instance.param.name); });

struct FoundCase {
  const char* name;
  const char* message;
  const char* digits;  // nothing: not found
  const char* body = "";
};
class ContentLengthTest : public ::testing::TestWithParam<FoundCase> {};

TEST_P(ContentLengthTest, IsFoundWhereThereIsOne) {
  const std::string message = GetParam().message;
  const auto found = find_content_length(bytes_of(message));
  ASSERT_EQ(found.has_value(), GetParam().digits != nullptr);
  if (!found) return;
  EXPECT_EQ(message.substr(found->at, found->size), GetParam().digits);
  EXPECT_EQ(message.substr(found->body), GetParam().body);
}

INSTANTIATE_TEST_SUITE_P(
    All, ContentLengthTest,
    ::testing::Values(
        FoundCase{"Http", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nA: b\r\n\r\nbody", "12",
                  "body"},
        FoundCase{"NoBody", "GET / HTTP/1.1\r\nContent-Length:0\r\n\r\n", "0", ""},
        FoundCase{"AnyCaseAndBlanks", "INVITE a SIP/2.0\r\ncontent-LENGTH \t:\t 7 \r\n\r\nx", "7",
                  "x"},
        FoundCase{"Compact", "INVITE a SIP/2.0\r\nl: 7\r\n\r\nx", "7", "x"},
        FoundCase{"CompactInAnAnswer", "SIP/2.0 200 OK\r\nL: 7\r\n\r\nx", "7", "x"},
        FoundCase{"CompactIsSipsAlone", "GET / HTTP/1.1\r\nl: 7\r\n\r\nx", nullptr},
        FoundCase{"BareLineFeeds", "RTSP/1.0 200 OK\nContent-Length: 3\n\nabc", "3", "abc"},
        FoundCase{"BodyIsNoHeader", "A B C\r\n\r\nContent-Length: 3\r\n\r\n", nullptr},
        FoundCase{"Twice", "A B C\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", nullptr},
        FoundCase{"NoNumber", "A B C\r\nContent-Length: 3x\r\n\r\n", nullptr},
        FoundCase{"Empty", "A B C\r\nContent-Length:\r\n\r\n", nullptr},
        FoundCase{"List", "A B C\r\nContent-Length: 3, 3\r\n\r\n", nullptr},
        FoundCase{"Folded", "A B C\r\nContent-Length: 3\r\n 4\r\n\r\n", nullptr},
        FoundCase{"InAFoldedLine", "A B C\r\nX: y\r\n Content-Length: 3\r\n\r\n", nullptr},
        FoundCase{"Chunked", "A B C\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                  nullptr},
        FoundCase{"HeadersDoNotEnd", "A B C\r\nContent-Length: 3\r\n", nullptr},
        FoundCase{"NoStartLine", "\r\nContent-Length: 3\r\n\r\n", nullptr},
        FoundCase{"Nothing", "", nullptr}),
    [](const auto& instance) { return std::string(instance.param.name); });

std::string sip(std::string_view length, std::string_view body) {
  return fmt::format("INVITE sip:a@b SIP/2.0\r\nContent-Length: {}\r\nVia: x\r\n\r\n{}", length,
                     body);
}

TEST(ContentLengthStep, TakesAsManyDigitsAsTheBodyNeeds) {
  const std::string body(96, 'b');
  const std::string steps = "{ insert = 'wxyz', at = 80, as = 'text' }, { content-length = true }";
  std::string grown = body;
  const std::string before = sip("96", body);
  const size_t in_body = 80 - (before.size() - body.size());
  ASSERT_LT(in_body, body.size());
  grown.insert(in_body, "wxyz");
  EXPECT_EQ(run({steps}, udp(bytes_of(before))).bytes, to_hex(udp(bytes_of(sip("100", grown)))));
  const std::string shorter = "{ delete = 90, at = 60 }, { content-length = true }";
  const std::string long_body(100, 'c');
  EXPECT_EQ(run({shorter}, udp(bytes_of(sip("100", long_body)))).bytes,
            to_hex(udp(bytes_of(sip("10", long_body.substr(90))))));
}

TEST(ContentLengthStep, IsNoChangeWhereItIsRightAndAMissWhereItIsNotThere) {
  const ByteVector right = udp(bytes_of(sip("3", "abc")));
  EXPECT_EQ(run({"{ content-length = true }"}, right).bytes, to_hex(right));
  EXPECT_EQ(run({"{ content-length = true }"}, right).misses, 0u);
  EXPECT_EQ(run({"{ content-length = true }"}, udp(bytes_of("abc"))).misses, 1u);
}

TEST(ContentLengthStep, ATcpSegmentIsLeftToItsStream) {
  const ByteVector segment = PacketBuilder("10.0.0.1", "10.0.0.2")
                                 .tcp(1, 2)
                                 .payload(bytes_of(sip("5", "abc")))
                                 .build()
                                 .bytes;
  const Result result = run({"{ content-length = true }"}, segment);
  EXPECT_EQ(result.bytes, to_hex(segment));
  EXPECT_EQ(result.misses, 0u);
}

struct Refused {
  const char* step;
  const char* message;
};
TEST(LengthSteps, AreRefusedWithPlaceAndReason) {
  const Refused cases[] = {
      {"{ length-field = 2 }", "f.toml:3:27: error: length-field: found 2, expected a table like"},
      {"{ length-field = { at = 2 } }", "length-field needs `size`"},
      {"{ length-field = { at = 2, size = 3 } }", "size: found 3, expected 1, 2 or 4 bytes"},
      {"{ length-field = { at = 2, size = 2, unit = 3 } }", "unit: found 3, expected 1, 2, 4 or 8"},
      {"{ length-field = { at = 2, size = 2, endian = 'litle' } }", "endian: found \"litle\""},
      {"{ length-field = { at = 2, siz = 2 } }", "did you mean \"size\"?"},
      {"{ length-field = { size = 2 } }", "`at`"},
      {"{ length-field = { at = 2, size = 2 }, at = 2 }", "unknown key of length-field \"at\""},
      {"{ length-field = { at = 65534, size = 4 } }", "expected them to end within 65535"},
      {"{ content-length = false }", "content-length: found false, expected true"}};
  for (const auto& [step, message] : cases) {
    const Parsed parsed =
        parse_rules(fmt::format("[[rule]]\nmatch = {{}}\nsteps = [{}]\n", step), "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    if (parsed.ok()) {
      EXPECT_FALSE(compile(parsed.set, &diagnostics)) << step;
    }
    const std::string said = render(diagnostics, parsed.sources);
    EXPECT_NE(said.find(message), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace fettle
