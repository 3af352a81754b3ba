// The steps `sip` and `sdp`: what they make of packets, and what of them is refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/edit_text.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::PacketBuilder;
using testing::to_hex;

ByteVector bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}
ByteVector udp(std::string_view payload) {
  return PacketBuilder("10.0.0.1", "10.0.0.2").udp(1, 2).payload(bytes_of(payload)).build().bytes;
}

struct Result {
  std::string bytes;
  uint64_t misses = 0;
  bool operator==(const Result&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Result& result) {
  return out << result.bytes << " misses " << result.misses;
}
Result run(std::string_view step, ByteVector bytes, size_t room = 100,
           ChecksumPlan plan = ChecksumPlan::kCapture) {
  const Parsed parsed = parse_rules(
      fmt::format("[table.t]\n'10.9.1.2' = '198.51.100.1'\n'10.9.1.3' = '10.8.1.3'\n[[rule]]\n"
                  "match = {{}}\nsteps = [{}]\n",
                  step),
      "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  const auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  EXPECT_TRUE(program) << render(diagnostics, parsed.sources);
  if (!program) return {};
  EXPECT_TRUE(program->needs().resizes);
  ProgramCounters counters;
  std::vector<RuleCounters> by_rule(1);
  ProgramState state{.counters = &counters, .rules = by_rule, .log = nullptr};
  const size_t size = bytes.size();
  bytes.resize(size + room);
  Packet packet = parse({bytes.data(), size});
  packet.capacity = static_cast<uint32_t>(bytes.size());
  packet.plan = plan;
  Metadata metadata;
  program->apply(packet, metadata, state);
  return {to_hex({packet.data, packet.size}), by_rule[0].misses};
}

std::string invite(const char* address, const char* in_sdp, size_t length) {
  return fmt::format(
      "INVITE sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {0}:5062\r\nSubject: 10.9.1.2\r\n"
      "Content-Type: application/sdp\r\nContent-Length: {2}\r\n\r\nc=IN IP4 {1}\r\ns=10.9.1.2\r\n",
      address, in_sdp, length);
}
Result made(const ByteVector& bytes, uint64_t misses = 0) { return {to_hex(bytes), misses}; }

TEST(SipSteps, TranslateDatagramsAndTheirLength) {
  const std::string inside = invite("10.9.1.2", "10.9.1.2", 31);
  EXPECT_EQ(run("{ sip = 't' }", udp(inside)),
            made(udp(invite("198.51.100.1", "198.51.100.1", 35))));
  EXPECT_EQ(run("{ sip = 't', reverse = true }", udp(invite("198.51.100.1", "198.51.100.1", 35))),
            made(udp(inside)));
  EXPECT_EQ(run("{ sdp = 't' }", udp(inside)), made(udp(invite("10.9.1.2", "198.51.100.1", 35))));
  EXPECT_EQ(run("{ sdp = 't', reverse = true }", udp(invite("198.51.100.1", "198.51.100.1", 35))),
            made(udp(invite("198.51.100.1", "10.9.1.2", 31))));
}

TEST(SipSteps, NothingToTranslateIsNoMiss) {
  const ByteVector other = udp(invite("192.0.2.7", "192.0.2.7", 77));
  EXPECT_EQ(run("{ sip = 't' }", other), made(other));
  EXPECT_EQ(run("{ sdp = 't' }", other), made(other));
}

TEST(SipSteps, WhatIsNoMessageIsAMiss) {
  for (const char* payload : {"\r\n\r\n", "10.9.1.2", "INVITE sip:10.9.1.2 SIP/2.0\r\nm: x\r\n"}) {
    EXPECT_EQ(run("{ sip = 't' }", udp(payload)), made(udp(payload), 1)) << payload;
    EXPECT_EQ(run("{ sdp = 't' }", udp(payload)), made(udp(payload), 1)) << payload;
  }
  const ByteVector http = udp("HTTP/1.1 200 OK\r\nVia: 10.9.1.2\r\n\r\n");
  EXPECT_EQ(run("{ sip = 't' }", http), made(http, 1));
  EXPECT_EQ(run("{ sdp = 't' }", http), made(http));
}

TEST(SipSteps, AllOrNothing) {
  const ByteVector inside = udp(invite("10.9.1.2", "10.9.1.2", 31));
  EXPECT_EQ(run("{ sip = 't' }", inside, 7), made(inside, 1));  // 8 bytes are needed
  EXPECT_EQ(run("{ sip = 't' }", inside, 8).misses, 0u);
  // A super-packet keeps its length, and so the address of equal length in its body stays, too.
  const ByteVector mixed = udp(invite("10.9.1.2", "10.9.1.3", 31));
  EXPECT_EQ(run("{ sip = 't' }", mixed, 100, ChecksumPlan::kPseudo), made(mixed, 1));
  std::string many = "ACK sip:a SIP/2.0\r\nRoute: <sip:10.9.1.2>";
  for (uint32_t i = 0; i < EditList::kMost; ++i) many += ",<sip:10.9.1.2>";
  EXPECT_EQ(run("{ sip = 't' }", udp(many + "\r\n\r\n"), 9000), made(udp(many + "\r\n\r\n"), 1));
  std::string twice = invite("10.9.1.2", "10.9.1.2", 31);
  twice.replace(twice.find("Subject: 10.9.1.2"), 17, "Content-Length: 9");
  EXPECT_EQ(run("{ sip = 't' }", udp(twice)), made(udp(twice), 1));
}

TEST(SipSteps, FragmentsAndTruncatedPacketsAreMisses) {
  const std::string message = invite("10.9.1.2", "10.9.1.2", 31);
  ByteVector fragment = udp(message);
  fragment[6] |= std::byte{0x20};  // more follow
  EXPECT_EQ(run("{ sip = 't' }", fragment), made(fragment, 1));
  ByteVector truncated = udp(message);
  truncated.resize(truncated.size() - 1);
  EXPECT_EQ(run("{ sip = 't' }", truncated), made(truncated, 1));
}

TEST(SipSteps, AreRefusedWithPlaceAndReason) {
  struct Refused {
    const char* rule;
    const char* message;
  };
  const Refused cases[] = {
      {"match = {}\nsteps = [{ sip = 2 }]", "sip: found 2, expected the name of a table"},
      {"match = {}\nsteps = [{ sdp = true }]", "sdp: found true, expected the name of a table"},
      {"match = {}\nsteps = [{ sip = 'u' }]", "f.toml:5:18: error: sip: no table is called \"u\""},
      {"match = {}\nsteps = [{ sdp = 'u' }]", "sdp: no table is called \"u\""},
      {"match = {}\nsteps = [{ sip = 't', revers = true }]", "did you mean \"reverse\"?"},
      {"match = {}\nsteps = [{ sdp = 't', reverse = 1 }]", "reverse: found 1"},
      {"match = {}\nsteps = [{ sipp = 't' }]", "did you mean \"sip\"?"},
      {"match = {}\nsteps = [{ sdpp = 't' }]", "did you mean \"sdp\"?"},
      {"match = {}\nsteps = ['sip']", "expected { sip = TABLE, reverse }"},
      {"match = { protocol = 'icmp' }\nsteps = [{ sip = 't' }]", "sip can never be set"}};
  for (const auto& [rule, message] : cases) {
    const Parsed parsed = parse_rules(
        fmt::format("[table.t]\n'10.9.1.2' = '198.51.100.1'\n[[rule]]\n{}\n", rule), "f.toml");
    std::vector<Diagnostic> diagnostics = parsed.diagnostics;
    if (parsed.ok()) {
      EXPECT_FALSE(compile(parsed.set, &diagnostics)) << rule;
    }
    const std::string said = render(diagnostics, parsed.sources);
    EXPECT_NE(said.find(message), std::string::npos) << said;
  }
}

TEST(SipSteps, AreDescribed) {
  const Parsed parsed = parse_rules(
      "[table.t]\n'10.9.1.2' = '198.51.100.1'\n[[rule]]\nmatch = {}\n"
      "steps = [{ sip = 't' }, { sdp = 't', reverse = true }]\n",
      "f.toml");
  std::vector<Diagnostic> diagnostics;
  const auto program = compile(parsed.set, &diagnostics);
  ASSERT_TRUE(program);
  EXPECT_NE(program->describe().find("sip by t\n"), std::string::npos);
  EXPECT_NE(program->describe().find("sdp by t, reversed\n"), std::string::npos);
}

}  // namespace
}  // namespace fettle
