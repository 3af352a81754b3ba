// The match key `filter`: what passes, what is refused, and how deep it looks. filters_test.py has
// tcpdump as a witness.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/packet_filter.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::filled;
using testing::PacketBuilder;

struct Compiled {
  std::optional<Program> program;
  std::string said;
};
Compiled compiled(const std::string& match) {
  const Parsed parsed =
      parse_rules(fmt::format("[[rule]]\nmatch = {{ {} }}\nsteps = []\n", match), "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  Compiled out;
  if (parsed.ok()) out.program = compile(parsed.set, &diagnostics);
  out.said = render(diagnostics, parsed.sources);
  return out;
}

bool matches(const std::string& match, ByteVector bytes) {
  const Compiled made = compiled(match);
  EXPECT_TRUE(made.program) << made.said;
  if (!made.program) return false;
  ProgramCounters counters;
  std::vector<RuleCounters> by_rule(1);
  ProgramState state{.counters = &counters, .rules = by_rule, .log = nullptr};
  Packet packet = parse(bytes);
  Metadata metadata;
  made.program->apply(packet, metadata, state);
  return by_rule[0].hits == 1;
}

PacketBuilder v4() { return PacketBuilder("10.0.0.1", "10.0.0.2"); }
PacketBuilder v6() { return PacketBuilder("2001:db8::1", "2001:db8::2"); }

TEST(FilterTest, SeesBothFamiliesFromTheirHeaderOn) {
  EXPECT_TRUE(matches("filter = 'udp port 53'", v4().udp(9, 53).build().bytes));
  EXPECT_TRUE(matches("filter = 'udp port 53'", v6().udp(53, 9).build().bytes));
  EXPECT_FALSE(matches("filter = 'udp port 53'", v4().tcp(9, 53).build().bytes));
  EXPECT_FALSE(matches("filter = 'ip6'", v4().udp(9, 53).build().bytes));
  EXPECT_TRUE(matches("filter = 'ip[8] = 9'", v4().ttl(9).udp(1, 2).build().bytes));
}

TEST(FilterTest, FindsTransportsBehindOptions) {
  const ByteVector bytes = v4().options({std::byte{1}}).udp(9, 53).payload(filled(4)).build().bytes;
  EXPECT_TRUE(matches("filter = 'udp[8] = 0x00 or udp[2:2] = 53'", bytes));
}

TEST(FilterTest, ListsNegationAndOtherKeysGoTogether) {
  const ByteVector bytes = v4().udp(9, 53).build().bytes;
  EXPECT_TRUE(matches("filter = ['tcp', 'udp']", bytes));
  EXPECT_FALSE(matches("filter = ['tcp', 'icmp']", bytes));
  EXPECT_FALSE(matches("protocol = 'tcp', filter = 'udp'", bytes));
  EXPECT_FALSE(matches("not = { filter = 'udp' }", bytes));
  EXPECT_TRUE(matches("not = { filter = ['tcp', 'port 54'] }", bytes));
}

TEST(FilterTest, LaterFragmentsAreShownToIt) {
  const ByteVector later = v4().ipv4_fragment(2).udp(9, 53).build().bytes;
  EXPECT_TRUE(matches("filter = 'ip[6:2] & 0x1fff != 0'", later));
  EXPECT_FALSE(matches("filter = 'udp port 53'", later));
}

TEST(FilterTest, LengthIsThePacketsAndLoadsBehindItsEndFail) {
  ByteVector bytes = v4().udp(9, 53).payload(filled(40)).build().bytes;
  bytes.resize(bytes.size() - 30);  // captured short
  EXPECT_TRUE(matches("filter = 'len = 68'", bytes));
  EXPECT_FALSE(matches("filter = 'udp[47] = 1'", bytes));
  EXPECT_FALSE(matches("filter = 'not udp[47] = 1'", bytes));
}

TEST(FilterTest, DepthIsThatOfItsLoads) {
  const auto depth = [](const char* expression) {
    std::string why;
    const auto program = compile_filter(expression, &why);
    EXPECT_TRUE(program) << why;
    return program ? filter_depth(*program) : std::nullopt;
  };
  EXPECT_LE(depth("ip[0] = 0x45").value_or(9999), 8u);
  EXPECT_GE(depth("ip[100:4] = 1").value_or(0), 104u);
  EXPECT_GE(depth("udp[60:4] = 1").value_or(0), 124u);
  EXPECT_LE(depth("udp[60:4] = 1").value_or(9999), 128u);
  EXPECT_FALSE(depth("udp[udp[8]] = 1"));
  EXPECT_FALSE(depth("ip[ip[0]] = 1"));
}

TEST(FilterTest, NeedsWhatItReads) {
  const auto needs = [](const char* match) {
    const Compiled made = compiled(match);
    EXPECT_TRUE(made.program) << made.said;
    return made.program ? made.program->needs() : Needs{};
  };
  const Needs near = needs("family = 'ipv4', filter = 'udp[60:4] = 1'");
  EXPECT_TRUE(near.packets);
  EXPECT_FALSE(near.whole || near.changes);
  EXPECT_GE(near.depth, 124u);
  EXPECT_TRUE(needs("family = 'ipv4', filter = 'udp[udp[8]] = 1'").whole);
  EXPECT_TRUE(needs("filter = 'udp port 53'").whole);
}

TEST(FilterTest, CheckSaysTheExpression) {
  const Compiled made = compiled("filter = ['udp', 'tcp port 80']");
  ASSERT_TRUE(made.program) << made.said;
  EXPECT_NE(made.program->describe().find("filter 'udp' or 'tcp port 80'"), std::string::npos);
}

struct Refused {
  const char* name;
  const char* value;
  const char* message;
};
class FilterRefusedTest : public ::testing::TestWithParam<Refused> {};

TEST_P(FilterRefusedTest, WithPlaceAndReason) {
  const Compiled made = compiled(fmt::format("filter = {}", GetParam().value));
  EXPECT_FALSE(made.program);
  EXPECT_NE(made.said.find(GetParam().message), std::string::npos) << made.said;
}

INSTANTIATE_TEST_SUITE_P(
    All, FilterRefusedTest,
    ::testing::Values(
        Refused{"Syntax", "'udp prt 53'",
                "f.toml:2:20: error: filter: found \"prt\", which names no port and no protocol"},
        Refused{"LibpcapsWord", "'udp port port'",
                "f.toml:2:20: error: filter: found 'udp port port', which libpcap refuses: "},
        Refused{"SecondOfList", "['udp', 'tcp and and']", "f.toml:2:28: error: filter: "},
        Refused{"NeverTrue", "'ip and ip6'", "libpcap refuses: expression rejects all packets"},
        Refused{"Ether", "'ether[0] = 1'", "found \"ether\", which is of the link layer"},
        Refused{"Vlan", "'vlan 5 and udp'", "found \"vlan\", which is of the link layer"},
        Refused{"ArpInAnAlternative", "'arp or udp'", "found \"arp\", which is of the link layer"},
        Refused{"Interface", "'inbound'", "expected the keys `in`, `out` or `hook`"},
        Refused{"HostsName", "'host mail.example'", "found \"mail.example\", which names no port"},
        Refused{"Netmask", "'ip broadcast'", "libpcap refuses: "},
        Refused{"Empty", "' '", "expected a pcap-filter expression, in quotes"},
        Refused{"Number", "7", "expected a pcap-filter expression, in quotes"}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(FilterTest, WordsThatAskNobodyAreTaken) {
  for (const char* expression :
       {"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "port domain", "portrange 6000-6008",
        "ip proto \\tcp", "net 10.0.0.0/8 and not host 10.0.0.1", "ip6 host fe80::1",
        "icmp[icmptype] = icmp-echo", "icmp6[icmp6type] = icmp6-echo", "less 100 || greater 1000",
        "ip multicast", "(udp or tcp) && !(src port 53)", "ip6 protochain 6", "vrrp"}) {
    std::string why;
    EXPECT_TRUE(compile_filter(expression, &why)) << expression << ": " << why;
  }
}

}  // namespace
}  // namespace fettle
