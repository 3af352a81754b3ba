// Payload patterns: where they are found, what is refused, and that threads may scan at once.
// patterns_test.py has Python's `re` as a witness.
#include "rules/pattern_set.h"

#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/compile.h"
#include "rules/parse.h"
#include "tests/packet_builder.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::PacketBuilder;

ByteVector bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

ByteVector udp(std::string_view payload) {
  return PacketBuilder("10.0.0.1", "10.0.0.2")
      .udp(5060, 5060)
      .payload(bytes_of(payload))
      .build()
      .bytes;
}

struct Compiled {
  std::optional<Program> program;
  std::string said;
};
Compiled compiled(const std::string& text) {
  const Parsed parsed = parse_rules(text, "f.toml");
  std::vector<Diagnostic> diagnostics = parsed.diagnostics;
  Compiled out;
  if (parsed.ok()) out.program = compile(parsed.set, &diagnostics);
  out.said = render(diagnostics, parsed.sources);
  return out;
}
std::string rule(const std::string& match, const std::string& steps = "") {
  return fmt::format("[[rule]]\nmatch = {{ {} }}\nsteps = [{}]\n", match, steps);
}

// How often each rule matched.
std::vector<uint64_t> hits(const std::string& rules, ByteVector bytes) {
  const Compiled made = compiled(rules);
  EXPECT_TRUE(made.program) << made.said;
  if (!made.program) return {};
  ProgramCounters counters;
  std::vector<RuleCounters> by_rule(made.program->rule_names().size());
  ProgramState state{.counters = &counters, .rules = by_rule, .log = nullptr};
  Packet packet = parse(bytes);
  Metadata metadata;
  made.program->apply(packet, metadata, state);
  std::vector<uint64_t> out;
  for (const RuleCounters& one : by_rule) out.push_back(one.hits);
  return out;
}
using Hits = std::vector<uint64_t>;

struct Found {
  const char* name;
  const char* value;  // of the key
  std::string payload;
  bool found;
};
class PatternTest : public ::testing::TestWithParam<Found> {};

TEST_P(PatternTest, IsFoundInThePayload) {
  EXPECT_EQ(hits(rule(fmt::format("payload = {}", GetParam().value)), udp(GetParam().payload)),
            Hits{GetParam().found});
}

INSTANTIATE_TEST_SUITE_P(
    All, PatternTest,
    ::testing::Values(
        Found{"Anywhere", "'SIP/2'", "INVITE a SIP/2.0", true},
        Found{"Case", "'sip/2'", "INVITE a SIP/2.0", false},
        Found{"AnyCase", "{ pattern = 'sip/2', case = false }", "INVITE a SIP/2.0", true},
        Found{"AnyCaseInline", "'(?i)sip/2'", "INVITE a SIP/2.0", true},
        Found{"Start", "'^INVITE'", "INVITE", true},
        Found{"NotAtStart", "'^VITE'", "INVITE", false},
        Found{"StartIsNoLine", "'^b'", "a\nb", false},
        Found{"StartOfLine", "'(?m)^b'", "a\nb", true}, Found{"End", "'ab\\z'", "xab", true},
        Found{"NotAtEnd", "'ab\\z'", "abx", false}, Found{"EndAndNewline", "'ab$'", "ab\n", true},
        Found{"EndAndNoNewline", "'ab\\z'", "ab\n", false},
        Found{"DotAndNewline", "'a.b'", "a\nb", false}, Found{"DotAll", "'(?s)a.b'", "a\nb", true},
        Found{"Bytes", "'\\x00\\xff'", std::string("a\0\xff", 3), true},
        Found{"BytesAreNotLetters", "'\\xe4'", "\xc3\xa4", false},
        Found{"List", "['x', 'b']", "abc", true}, Found{"NoneOfList", "['x', 'y']", "abc", false},
        Found{"NoPayload", "'a'", "", false}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(PatternRulesTest, HeadersAndNetworkAreNoPayload) {
  // The ports' bytes, 0x13c4, stand before the payload.
  EXPECT_EQ(hits(rule("payload = '\\x13\\xc4'"), udp("abc")), Hits{0});
  const ByteVector fragment = PacketBuilder("10.0.0.1", "10.0.0.2")
                                  .ipv4_fragment(2)
                                  .udp(1, 2)
                                  .payload(bytes_of("abc"))
                                  .build()
                                  .bytes;
  EXPECT_EQ(hits(rule("payload = 'abc'") + rule("not = { payload = 'x' }"), fragment),
            (Hits{0, 0}));
}

TEST(PatternRulesTest, BytesBehindTheTransportsEndAreNoPayload) {
  const ByteVector bytes = PacketBuilder("10.0.0.1", "10.0.0.2")
                               .udp(1, 2)
                               .payload(bytes_of("abc"))
                               .udp_surplus(bytes_of("def"))
                               .build()
                               .bytes;
  EXPECT_EQ(hits(rule("payload = 'c'") + rule("payload = 'd'"), bytes), (Hits{1, 0}));
}

TEST(PatternRulesTest, AreJoinedWithOtherKeysAndNot) {
  const std::string rules = rule("protocol = 'tcp', payload = 'abc'") +
                            rule("protocol = 'udp', payload = 'abc'") +
                            rule("payload = 'abc', not = { payload = 'b' }") +
                            rule("payload = 'abc', not = { payload = 'x' }");
  EXPECT_EQ(hits(rules, udp("abc")), (Hits{0, 1, 0, 1}));
}

TEST(PatternRulesTest, LaterRulesSeeThePayloadAsChanged) {
  const std::string rules = rule("payload = 'abc'", "{ write = '78', at = 1 }") +
                            rule("payload = 'abc'") + rule("payload = 'axc'");
  EXPECT_EQ(hits(rules, udp("abc")), (Hits{1, 0, 1}));
  EXPECT_EQ(hits(rules, udp("axc")), (Hits{0, 0, 1}));
}

TEST(PatternRulesTest, NeedWholePacketsAndAreToldByCheck) {
  const Compiled made = compiled(rule("src = '10.0.0.0/8', payload = ['a1', 'a1', 'b']"));
  ASSERT_TRUE(made.program) << made.said;
  EXPECT_TRUE(made.program->needs().whole);
  EXPECT_FALSE(made.program->needs().changes);
  EXPECT_NE(made.program->describe().find("patterns   2 in one database"), std::string::npos)
      << made.program->describe();
}

struct Refused {
  const char* name;
  const char* value;
  const char* message;
};
class PatternRefusedTest : public ::testing::TestWithParam<Refused> {};

TEST_P(PatternRefusedTest, WithPlaceAndReason) {
  const Compiled made = compiled(rule(fmt::format("payload = {}", GetParam().value)));
  EXPECT_FALSE(made.program);
  EXPECT_NE(made.said.find(GetParam().message), std::string::npos) << made.said;
}

INSTANTIATE_TEST_SUITE_P(
    All, PatternRefusedTest,
    ::testing::Values(
        Refused{"Syntax", "'a(b'",
                "f.toml:2:21: error: payload: found pattern 'a(b', which Vectorscan refuses: "
                "Missing close parenthesis"},
        Refused{"SecondOfList", "['a', '(a)\\1']",
                "f.toml:2:27: error: payload: found pattern '(a)\\1', which Vectorscan refuses: "},
        Refused{"InTable", "{ pattern = 'a)', case = false }", "f.toml:2:33: error: payload: "},
        Refused{"MatchesNothing", "'a*'", "it matches every payload, as it matches no bytes"},
        Refused{"Empty", "''", "expected a regular expression of at least one character"},
        Refused{"ZeroByte", "\"a\\u0000b\"", "expected a zero byte written as \\x00"},
        Refused{"Number", "7", "expected a regular expression in single quotes"},
        Refused{"NoPattern", "{ case = true }", "payload needs `pattern`"},
        Refused{"UnknownKey", "{ pattern = 'a', cas = true }", "did you mean \"case\"?"}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(PatternSetTest, EqualPatternsShareANumber) {
  const PatternMatch a{.pattern = "a", .ignore_case = false, .where = {}};
  const PatternMatch other{.pattern = "a", .ignore_case = true, .where = {}};
  std::vector<Diagnostic> diagnostics;
  const auto set = PatternSet::build({&a, &other, &a}, &diagnostics);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->size(), 2u);
  EXPECT_NE(set->number_of(a), set->number_of(other));
  EXPECT_EQ(set->number_of({.pattern = "b", .ignore_case = false, .where = {}}), PatternSet::kNone);
}

TEST(PatternSetTest, MoreThreadsThanScansHaveRoomForFindTheirOwn) {
  std::vector<PatternMatch> patterns;
  for (int i = 0; i < 100; ++i) {
    patterns.push_back({.pattern = fmt::format("<{}>", i), .ignore_case = false, .where = {}});
  }
  std::vector<const PatternMatch*> pointers;
  for (const PatternMatch& pattern : patterns) pointers.push_back(&pattern);
  std::vector<Diagnostic> diagnostics;
  const auto set = PatternSet::build(pointers, &diagnostics);
  ASSERT_TRUE(set);
  std::vector<uint32_t> wrong(2 * std::thread::hardware_concurrency() + 3);
  std::vector<std::thread> threads;
  for (uint32_t& mine : wrong) {
    threads.emplace_back([&, self = static_cast<uint32_t>(&mine - wrong.data())] {
      for (uint32_t i = 0; i < 300; ++i) {
        const uint32_t wanted = (self + i) % 100;
        ByteVector bytes = udp(fmt::format("..<{}>..", wanted));
        const Packet packet = parse(bytes);
        PatternScan scan(*set);
        for (uint32_t number = 0; number < 100; ++number) {
          mine += scan.finds(set->number_of(patterns[number]), packet) != (number == wanted);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<uint32_t>(wrong.size()));
}

}  // namespace
}  // namespace fettle
