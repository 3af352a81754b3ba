// [[test]] sections: what is refused, what passes, and what is said where one fails. The packets
// that field lists build are judged in field_packets_test.py, by scapy.
#include "rules/packet_tests.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"

namespace fettle {
namespace {

constexpr std::string_view kRules = R"(
[[rule]]
name = "marked"
match = { in = "lan0", mark = 3 }
steps = [{ mark = 5 }]
[[rule]]
name = "written"
match = { protocol = "udp", dst-port = 53 }
steps = [{ write = "aabb", at = 2 }]
[[rule]]
name = "sent on"
match = { protocol = "tcp" }
steps = [{ clamp-mss = 1200 }, { queue = 7 }]
[[rule]]
name = "dropped"
match = { protocol = ["icmp", "icmpv6"], icmp-type = "echo-request" }
steps = ["drop"]
)";

std::string with_test(std::string_view packet, std::string_view expect) {
  return fmt::format("{}[[test]]\npacket = {{ {} }}\nexpect = {{ {} }}\n", kRules, packet, expect);
}
constexpr std::string_view kUdp =
    R"(protocol = "udp", src = "10.0.0.1", dst = "10.0.0.2", dst-port = 53, payload = "01020304")";

// Rendered refusals, or what fails, or nothing.
std::string outcome(const std::string& text) {
  const Parsed parsed = parse_rules(text, "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  const auto program = parsed.ok() ? compile(parsed.set, &diagnostics) : std::nullopt;
  if (!program) return render(diagnostics, parsed.sources);
  EXPECT_FALSE(parsed.tests.empty());
  std::string out;
  for (const PacketTest& test : parsed.tests) {
    const auto failure = run_test(*program, test, false);
    if (failure) out += render(failure->diagnostic, parsed.sources) + "\n" + failure->details;
  }
  return out;
}

struct Case {
  std::string packet, expect;
  std::string said;  // "": the test passes
};
class PacketTestsTest : public testing::TestWithParam<Case> {};

TEST_P(PacketTestsTest, PassesOrSaysWhatIsNotAsExpected) {
  const std::string said = outcome(with_test(GetParam().packet, GetParam().expect));
  if (GetParam().said.empty()) {
    EXPECT_EQ(said, "");
  } else {
    EXPECT_NE(said.find(GetParam().said), std::string::npos) << said;
  }
}

const std::string kUdpPacket(kUdp);
const std::string kTcpPacket =
    R"(protocol = "tcp", src = "2001:db8::1", dst = "2001:db8::2", tcp-flags = "syn", mss = 1460)";

INSTANTIATE_TEST_SUITE_P(
    Outcomes, PacketTestsTest,
    testing::Values(
        Case{kUdpPacket, R"(payload = "0102aabb")", ""},
        Case{kUdpPacket, R"(payload = "0102aabb", rules = ["written"], verdict = "accept")", ""},
        Case{kUdpPacket, "", "bytes    expected 32, found 32; the first difference is at 26"},
        Case{kUdpPacket, R"(payload = "0102aabb", rules = [])",
             "rules    expected none, found \"written\""},
        Case{kUdpPacket, R"(payload = "0102aabb", ttl = 63)", "the first difference is at 8"},
        Case{kUdpPacket, R"(payload = "0102aabbcc")", "bytes    expected 33, found 32"},
        Case{kUdpPacket, R"(verdict = "drop")", "verdict  expected drop, found accept"},
        Case{kUdpPacket + R"(, in = "lan0", mark = 3)",
             R"(payload = "0102aabb", mark = 5, rules = ["marked", "written"])", ""},
        Case{kUdpPacket + R"(, in = "lan1", mark = 3)", R"(payload = "0102aabb")", ""},
        Case{kUdpPacket + R"(, in = "lan0", mark = 3)", R"(payload = "0102aabb")",
             "mark     expected 0x3, found 0x5"},
        Case{kTcpPacket, "mss = 1200, verdict = { queue = 7 }", ""},
        Case{kTcpPacket, "mss = 1200, verdict = { queue = 8 }",
             "verdict  expected queue 8, found queue 7"},
        Case{R"(protocol = "icmpv6", src = "::1", dst = "::2")", R"(verdict = "drop")", ""},
        Case{R"(protocol = "icmp", src = "10.0.0.1", dst = "10.0.0.2", icmp-type = "3/1")", "", ""},
        Case{R"(protocol = "icmp", src = "10.0.0.1", dst = "10.0.0.2")", "",
             "verdict  expected accept, found drop"},
        Case{R"(protocol = "gre", src = "10.0.0.1", dst = "10.0.0.2", payload-text = "x")", "", ""},
        Case{R"(hex = "60000000 0000 3b40)" + std::string(64, '0') + "\"", "", ""},
        Case{R"(hex = "41")", "", ""}));

INSTANTIATE_TEST_SUITE_P(
    Refusals, PacketTestsTest,
    testing::Values(
        Case{R"(src = "10.0.0.1", dst = "10.0.0.2")", "",
             "f.toml:19:10: error: a packet needs "
             "`protocol` (or `hex`, the whole of it)"},
        Case{R"(protocol = "udp", src = "10.0.0.1")", "", "a packet needs `dst`"},
        Case{R"(protocol = "udp", src = "10.0.0.1", dst = "::1")", "",
             "found src 10.0.0.1 and dst ::1, expected two addresses of one family"},
        Case{R"(protocol = "icmp", src = "10.0.0.1", dst = "10.0.0.2", dst-port = 3)", "",
             "dst-port: a packet of protocol \"icmp\" has no such field"},
        Case{R"(protocol = "udp", src = "10.0.0.1", dst = "10.0.0.2", mss = 3)", "",
             "mss: a packet of protocol \"udp\" has no such field"},
        Case{kUdpPacket + ", dst-prot = 3", "",
             "unknown key of a packet \"dst-prot\"; did you mean \"dst-port\"?"},
        Case{kUdpPacket + R"(, payload-text = "a")", "",
             "found `payload` and `payload-text`, expected one of the two"},
        Case{kUdpPacket + R"(, hex = "4500")", "", "protocol: found beside `hex`"},
        Case{kUdpPacket + R"(, ttl = 256)", "", "ttl: found 256, expected a number from 0 to 255"},
        Case{kUdpPacket + R"(, hook = "foreward")", "", "did you mean \"forward\"?"},
        Case{kUdpPacket + R"(, in = "a-name-of-16-chr")", "", "an interface's name of 1 to 15"},
        Case{kTcpPacket + R"(, payload = ")" + std::string(2 * 65500, '0') + '"', "",
             "found a packet of 65564 bytes, expected 65535 at most"},
        Case{kUdpPacket, R"(in = "lan0")", "unknown key of expect \"in\""},
        Case{kUdpPacket, R"(rules = ["writen"])", "did you mean \"written\"?"},
        Case{kUdpPacket, R"(rules = ["written", "marked"])", "in the order of the file"},
        Case{kUdpPacket, R"(verdict = "log")",
             "expected \"accept\", \"drop\", \"repeat\" or { queue = N }"},
        Case{kUdpPacket, R"(verdict = "drop", ttl = 3)", "ttl: found beside verdict = \"drop\""},
        Case{R"(hex = "4500")", "ttl = 3", "ttl: found for a packet that is given in hex"},
        Case{kUdpPacket, R"(hex = "45", ttl = 3)", "ttl: found beside `hex`"}));

TEST(PacketTestsFileTest, WhatIsNoTestIsRefused) {
  for (const auto& [text, said] : {
           std::pair{"[test]\nname = \"a\"\n",
                     "f.toml:1:1: error: test: found a table, expected a list of tests"},
           {"test = [5]\n", "test: found 5, expected a table: [[test]]"},
           {"[[test]]\nexpect = {}\n", "f.toml:1:1: error: \"test 1\" has no `packet`"},
           {"[[test]]\npacket = { hex = \"45\" }\n", "has no `expect`"},
           {"[[test]]\nname = 3\npacket = { hex = \"45\" }\nexpect = {}\n", "name: found 3"},
           {"[[test]]\npacket = 3\nexpect = {}\n", "packet: found 3, expected a table"},
           {"[[test]]\npaket = 3\n", "did you mean \"packet\"?"},
       }) {
    const std::string refused = outcome(text);
    EXPECT_NE(refused.find(said), std::string::npos) << refused;
  }
}

TEST(PacketTestsFileTest, AFailureShowsItsPlaceAndTheBytesSideBySide) {
  EXPECT_EQ(outcome(std::string(kRules) + "[[test]]\nname = \"a name\"\npacket = { " +
                    std::string(kUdp) + " }\nexpect = { payload = \"0102aabc\" }\n"),
            "f.toml:19:8: error: test \"a name\" fails: not as expected: bytes\n"
            "   19 | name = \"a name\"\n"
            "      |        ^~~~~~~~\n"
            "  bytes    expected 32, found 32; the first difference is at 27\n"
            "expected                                  found\n"
            "...\n"
            "0010  0a 00 00 02 00 00 00 35  .......5   0010  0a 00 00 02 00 00 00 35  .......5\n"
            "0018  00 0c 3f*e0 01 02 aa*bc  ..?.....   0018  00 0c 3f*e1 01 02 aa*bb  ..?.....\n");
}

}  // namespace
}  // namespace fettle
