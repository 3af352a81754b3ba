// What the language refuses and how it says so; what it accepts and what that means.
#include "rules/parse.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rules/vocabulary.h"

namespace fettle {
namespace {

std::string refusal(const std::string& text) {
  const Parsed parsed = parse_rules(text, "f.toml");
  return render(parsed.diagnostics, parsed.sources);
}

// A rule with this match, or these steps.
std::string with_match(const std::string& match) {
  return fmt::format("[[rule]]\nmatch = {{ {} }}\nsteps = []\n", match);
}
std::string with_steps(const std::string& steps) {
  return fmt::format("[[rule]]\nmatch = {{}}\nsteps = [{}]\n", steps);
}

const Operand& only_operand(const Parsed& parsed) {
  return parsed.set.rules.at(0).match.all_of.at(0).any_of.at(0);
}

TEST(ParseTest, AnEmptyFileIsAValidSet) {
  for (const char* text : {"", "\n", "# nothing\n", "[defaults]\n", "rule = []\n"}) {
    const Parsed parsed = parse_rules(text, "f.toml");
    EXPECT_TRUE(parsed.ok()) << text << refusal(text);
    EXPECT_TRUE(parsed.set.rules.empty());
    EXPECT_EQ(parsed.set.defaults.verdict, Verdict::kAccept);
  }
}

TEST(ParseTest, ShowsThePlaceWithACaretAndTheNearestWord) {
  EXPECT_EQ(refusal("[[rule]]\nmatch = { dst-prot = 1331 }\nsteps = []\n"),
            "f.toml:2:11: error: unknown match key \"dst-prot\"; did you mean \"dst-port\"?\n"
            "    2 | match = { dst-prot = 1331 }\n"
            "      |           ^~~~~~~~");
}

TEST(ParseTest, TheCaretStandsRightBehindTabsAndUmlauts) {
  EXPECT_EQ(refusal("[[rule]]\n\tname = \"Zürich\"\n\tmatch = { ttl = 256 }\n\tsteps = []\n"),
            "f.toml:3:18: error: ttl: found 256, expected a number from 0 to 255 or a range like "
            "\"127-255\"\n"
            "    3 | \tmatch = { ttl = 256 }\n"
            "      | \t                ^~~");
}

TEST(ParseTest, ReportsEveryErrorInTheOrderOfTheFile) {
  const Parsed parsed = parse_rules(
      "[defaults]\nverdict = \"pass\"\n[[rule]]\nmatch = { ttl = -1 }\nsteps = [\"acept\", 5]\n",
      "f.toml");
  ASSERT_EQ(parsed.diagnostics.size(), 4u);
  EXPECT_EQ(parsed.diagnostics[0].where.line, 2u);
  EXPECT_EQ(parsed.diagnostics[1].where.line, 4u);
  EXPECT_EQ(parsed.diagnostics[2].message, "unknown step \"acept\"; did you mean \"accept\"?");
  EXPECT_EQ(parsed.diagnostics[3].where.line, 5u);
  EXPECT_FALSE(parsed.ok());
}

struct Refused {
  std::string text;
  std::string place;
  std::string message;
};

class RefusedTest : public testing::TestWithParam<Refused> {};

TEST_P(RefusedTest, NamesThePlaceQuotesTheFoundAndSaysTheExpected) {
  const Refused& refused = GetParam();
  const std::string said = refusal(refused.text);
  EXPECT_TRUE(said.starts_with(fmt::format("f.toml:{}: error: ", refused.place))) << said;
  EXPECT_NE(said.find(refused.message), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(
    Structure, RefusedTest,
    testing::Values(
        Refused{"x = 1\n", "1:1",
                "unknown key \"x\", expected \"defaults\", \"table\", \"rule\" or \"test\""},
        Refused{"[rules]\n", "1:2", "unknown key \"rules\"; did you mean \"rule\"?"},
        Refused{"[defaults]\nmalformed = \"dorp\"\n", "2:13", "did you mean \"drop\"?"},
        Refused{"[defaults]\nverdikt = \"drop\"\n", "2:1", "did you mean \"verdict\"?"},
        Refused{"[defaults]\nbypass-mark = \"0x2/0x1\"\n", "2:15", "no bits of the value outside"},
        Refused{"[defaults]\nbypass-mark = \"0/0x1\"\n", "2:15",
                "found \"0/0x1\", expected a value with a bit that is set"},
        Refused{"[[rule]]\nmatch = {}\nsteps = [{ bypass = false }]\n", "3:21",
                "bypass: found false, expected true"},
        Refused{"[[rule]]\nmatch = {}\nsteps = [{ capture = \"\" }]\n", "3:22",
                "capture: found \"\", expected the name of a file"},
        Refused{"[[rule]]\nmatch = {}\nsteps = [{ capture = true }]\n", "3:22",
                "capture: found true, expected the name of a file"},
        Refused{"defaults = 1\n", "1:12", "found 1, expected a table: [defaults]"},
        Refused{"[rule]\nmatch = {}\n", "1:1",
                "expected a list of rules: [[rule]], with two brackets"},
        Refused{"[[rule]]\nsteps = []\n", "1:1",
                "has no `match`; write match = {} for every packet"},
        Refused{"[[rule]]\nmatch = {}\n", "1:1", "has no `steps`; write steps = []"},
        Refused{"[[rule]]\nmatch = []\nsteps = []\n", "2:9",
                "found a list, expected a table of match keys"},
        Refused{"[[rule]]\nmatch = {}\nsteps = \"accept\"\n", "3:9", "expected a list of steps"},
        Refused{"[[rule]]\nname = 3\nmatch = {}\nsteps = []\n", "2:8",
                "found 3, expected a name, in quotes"},
        Refused{"[[rule]]\nname = \"\"\nmatch = {}\nsteps = []\n", "2:8", "at least one character"},
        Refused{"[[rule]]\nmatch = {}\nsteps = []\non-mis = \"drop\"\n", "4:1",
                "did you mean \"on-miss\"?"},
        Refused{"[[rule]]\nmatch = {}\nsteps = []\non-miss = \"queue\"\n", "4:11",
                "expected \"accept\" or \"drop\""},
        Refused{"[[rule]]\nmatch = {}\nsteps = []\nmust-change = \"yes\"\n", "4:15",
                "expected true or false"},
        Refused{"[defaults]\noverload = \"fail-open\"\n", "2:12",
                "expected \"accept\" or \"drop\""},
        Refused{"[[rule]]\nname = \"a\"\nmatch = {}\nsteps = []\n[[rule]]\nname = \"a\"\nmatch = "
                "{}\nsteps = []\n",
                "6:8", "a second rule is called \"a\", the first is in line 2"},
        Refused{"[[rule]\n", "1:8", "rule"}, Refused{"a = \"\n", "1:7", "end-of-file"},
        Refused{std::string("a = \"\xff\"\n"), "1:5", "invalid utf-8"},
        Refused{"# \xc3\xbc\n\xc3\xbc = 1\n", "2:1",
                "expected keys, tables, whitespace or comments"},
        Refused{"a = \"\\\"\xc3\xbc\"\nb = \xc3\xbc\n", "2:5", "could not determine value type"},
        Refused{"a = \'\'\'\n\xc3\xbc\n\'\'\'\n[\xc3\xbc]\n", "4:2",
                "expected bare key starting character"},
        Refused{"[=", "1:2", "expected bare key starting character"},
        Refused{"[\x01", "1:2", "expected bare key starting character"}));

INSTANTIATE_TEST_SUITE_P(
    MatchKeys, RefusedTest,
    testing::Values(
        Refused{with_match("family = \"ipv5\""), "2:20", "did you mean \"ipv4\"?"},
        Refused{with_match("protocol = \"upd\""), "2:22", "did you mean \"udp\"?"},
        Refused{with_match("protocol = 256"), "2:22", "found 256"},
        Refused{with_match("src = \"10.0.0.1/8\""), "2:17",
                "no bits set beyond /8, as in 10.0.0.0/8"},
        Refused{with_match("src = 10"), "2:17",
                "found 10, expected an address or a prefix, in quotes"},
        Refused{with_match("dst-port = \"20-10\""), "2:22", "the lower end first, as in \"10-20\""},
        Refused{with_match("dst-port = \"1-x\""), "2:22", "found \"1-x\""},
        Refused{with_match("dst-port = []"), "2:22", "found an empty list"},
        Refused{with_match("port = [1, 70000]"), "2:22", "found 70000"},
        Refused{with_match("port = 1.5"), "2:18", "found 1.5"},
        Refused{with_match("hook = \"foreward\""), "2:18", "did you mean \"forward\"?"},
        Refused{with_match("in = \"a-name-that-is-far-too-long\""), "2:16", "1 to 15 characters"},
        Refused{with_match("out = \"\""), "2:17", "found \"\""},
        Refused{with_match("mark = \"0x2/0x1\""), "2:18",
                "no bits of the value outside of the mask, as in \"0x0/0x1\""},
        Refused{with_match("mark = \"1/\""), "2:18", "\"value/mask\""},
        Refused{with_match("mark = -1"), "2:18", "found -1"},
        Refused{with_match("dscp = 64"), "2:18", "found 64"},
        Refused{with_match("dscp = \"af14\""), "2:18", "did you mean \"af1"},
        Refused{with_match("length = \"big\""), "2:20", "found \"big\""},
        Refused{with_match("tcp-flags = \"sin\""), "2:23",
                "found \"sin\", expected flags of fin, syn"},
        Refused{with_match("tcp-flags = \"syn/ack\""), "2:23", "only flags before the slash"},
        Refused{with_match("fragment = \"second\""), "2:22", "true, false, \"first\" or \"later\""},
        Refused{with_match("icmp-type = \"3/256\""), "2:23",
                "\"type/code\" with numbers from 0 to 255"},
        Refused{with_match("icmp-type = \"echo-requets\""), "2:23",
                "did you mean \"echo-request\"?"},
        Refused{with_match("bytes = \"4b41\""), "2:19", "a table like { at = 0, hex = \"4b41\" }"},
        Refused{with_match("bytes = { hex = \"4b\" }"), "2:19", "bytes needs `at`"},
        Refused{with_match("bytes = { at = 0 }"), "2:19", "bytes needs `hex`"},
        Refused{with_match("bytes = { at = 0, hex = \"4\" }"), "2:35", "hexadecimal bytes"},
        Refused{with_match("bytes = { at = 0, hex = \"4b41\", mask = \"ff\" }"), "2:50",
                "as many bytes as hex has, 2"},
        Refused{with_match("bytes = { at = 0, hex = \"4b\", mask = \"0f\" }"), "2:35",
                "no bits outside of the mask"},
        Refused{with_match("bytes = { at = 65536, hex = \"4b\" }"), "2:26", "from 0 to 65535"},
        Refused{with_match("bytes = { at = 0, hex = \"4b\", from = \"paylod\" }"), "2:48",
                "did you mean \"payload\"?"},
        Refused{with_match("not = { not = { ttl = 1 } }"), "2:25", "not: found inside another not"},
        Refused{with_match("not = 1"), "2:17", "a table of match keys, or a list of such tables"}));

INSTANTIATE_TEST_SUITE_P(
    Steps, RefusedTest,
    testing::Values(
        Refused{with_steps("\"set\""), "3:10", "step \"set\" needs more than its name"},
        Refused{with_steps("{ accept = true }"), "3:21", "step \"accept\" takes no value"},
        Refused{with_steps("{}"), "3:10", "found an empty step"},
        Refused{with_steps("{ sett = { ttl = 1 } }"), "3:12", "did you mean \"set\"?"},
        Refused{with_steps("{ set = {} }"), "3:18", "a table of fields"},
        Refused{with_steps("{ set = { tll = 1 } }"), "3:20", "did you mean \"ttl\"?"},
        Refused{with_steps("{ set = { src = \"10.0.0.0/8\" } }"), "3:26",
                "an IPv4 or IPv6 address"},
        Refused{with_steps("{ set = { dscp = \"0-5\" } }"), "3:27",
                "one value to set, not a range"},
        Refused{with_steps("{ set = { ttl = 1 }, mark = 1 }"), "3:31", "found a second step"},
        Refused{with_steps("{ queue = 65536 }"), "3:20", "from 0 to 65535"},
        Refused{with_steps("{ translate = \"t\" }"), "3:10", "translate needs `at`"},
        Refused{with_steps("{ translate = \"t\", at = 0, as = \"hex\" }"), "3:42",
                "found \"hex\", expected"},
        Refused{with_steps("{ translate = \"t\", at = \"any\" }"), "3:34",
                "at: found \"any\", expected a number 0-65535, or \"anywhere\""},
        Refused{
            with_steps("{ translate = \"t\", at = \"anywhere\", from = \"network\" }"), "3:53",
            "from: found \"network\", expected \"payload\": at = \"anywhere\" searches nothing"},
        Refused{with_steps("{ translate = \"t\", at = 0, as = \"text\", from = \"network\" }"),
                "3:57", "from: found \"network\", expected \"payload\": an address as text"},
        Refused{with_steps("{ replace = 'a' }"), "3:10", "replace needs `with`"},
        Refused{with_steps("{ replace = 1, with = 'b' }"), "3:22",
                "replace: found 1, expected a regular expression in single quotes"},
        Refused{with_steps("{ replace = '', with = 'b' }"), "3:22", "of at least one character"},
        Refused{with_steps("{ replace = 'a', with = 'b', case = 1 }"), "3:46", "case: found 1"},
        Refused{with_steps("{ translate = \"t\", at = 0, revers = true }"), "3:37",
                "did you mean \"reverse\"?"},
        Refused{with_steps("{ translate = \"t\", at = 0, reverse = 1 }"), "3:47",
                "found 1, expected true or false"},
        Refused{with_steps("{ write = \"xy\", at = 0 }"), "3:20",
                "found \"xy\", expected hexadecimal bytes"},
        Refused{with_steps("{ set = { flow-label = 1048576 } }"), "3:33",
                "flow-label: found 1048576, expected a number from 0 to 1048575"},
        Refused{with_steps("{ write = \"00\" }"), "3:10", "write needs `at`"},
        Refused{with_steps("{ insert = \"xy\", at = 0 }"), "3:21",
                "insert: found \"xy\", expected hexadecimal bytes"},
        Refused{with_steps("{ insert = \"\", at = 0, as = \"text\" }"), "3:21",
                "insert: found \"\", expected text of at least one character"},
        Refused{with_steps("{ insert = \"00\", at = 0, as = \"txt\" }"), "3:40",
                "did you mean \"text\"?"},
        Refused{with_steps("{ insert = \"00\" }"), "3:10", "insert needs `at`"},
        Refused{with_steps("{ insert = \"00\", at = 0, from = \"payload\" }"), "3:35",
                "unknown key of insert \"from\""},
        Refused{with_steps("{ delete = 0, at = 0 }"), "3:21",
                "delete: found 0, expected a number from 1 to 65535"},
        Refused{with_steps("{ delete = 1 }"), "3:10", "delete needs `at`"},
        Refused{with_steps("{ clamp-mss = 0 }"), "3:24", "from 1 to 65535"}));

INSTANTIATE_TEST_SUITE_P(
    Tables, RefusedTest,
    testing::Values(
        Refused{"[table.t]\n\"10.0.0.1\" = \"2001:db8::1\"\n", "2:14", "both sides of one family"},
        Refused{"[table.t]\n\"10.0.0.0/24\" = \"10.1.0.0/16\"\n", "2:17",
                "prefixes of the same length"},
        Refused{"[table.t]\n\"10.0.0.300\" = \"10.1.0.0\"\n", "2:1", "found \"10.0.0.300\""},
        Refused{"[table.t]\n\"10.0.0.3\" = 5\n", "2:14", "found 5"},
        Refused{"[table.t]\n\"10.0.0.1\" = \"10.0.0.2\"\n\"10.0.0.1/32\" = \"10.0.0.3\"\n", "3:1",
                "table t: 10.0.0.1 stands twice, first in f.toml:2"},
        Refused{"[table.t]\nfile = \"not-there.csv\"\n", "2:8",
                "cannot read the table file not-there.csv: No such file or directory"},
        Refused{"[table]\nt = 1\n", "2:1", "tables with names"}));

TEST(ParseTest, EveryKeysOperandIsOfItsType) {
  const Parsed range = parse_rules(with_match("dst-port = \"10-20\""), "f");
  EXPECT_EQ(std::get<Range>(only_operand(range)).low, 10u);
  EXPECT_EQ(std::get<Range>(only_operand(range)).high, 20u);
  const Parsed prefix = parse_rules(with_match("src = \"2001:db8::/32\""), "f");
  EXPECT_EQ(std::get<Prefix>(only_operand(prefix)).to_string(), "2001:db8::/32");
  const Parsed mark = parse_rules(with_match("mark = \"0x10/0xf0\""), "f");
  EXPECT_EQ(std::get<MaskedValue>(only_operand(mark)).mask, 0xf0u);
  const Parsed flags = parse_rules(with_match("tcp-flags = \"syn/syn,ack\""), "f");
  EXPECT_EQ(std::get<MaskedValue>(only_operand(flags)).value, 0x02u);
  EXPECT_EQ(std::get<MaskedValue>(only_operand(flags)).mask, 0x12u);
  const Parsed name = parse_rules(with_match("in = \"eth+\""), "f");
  EXPECT_EQ(std::get<InterfacePattern>(only_operand(name)).mask[3], '\0');
  EXPECT_EQ(std::get<InterfacePattern>(only_operand(name)).mask[2], '\xff');
  const Parsed icmp = parse_rules(with_match("icmp-type = \"echo-request\""), "f");
  EXPECT_EQ(std::get<IcmpMatch>(only_operand(icmp)).icmp->low, 8u);
  EXPECT_EQ(std::get<IcmpMatch>(only_operand(icmp)).icmpv6->low, 128u);
  const Parsed bytes =
      parse_rules(with_match("bytes = { at = 3, hex = \"0a:0b 0c\", from = \"network\" }"), "f");
  EXPECT_EQ(std::get<BytesMatch>(only_operand(bytes)).value.size(), 3u);
  EXPECT_EQ(std::get<BytesMatch>(only_operand(bytes)).from, Origin::kNetwork);
}

TEST(ParseTest, StepsAndAssignmentsKeepTheOrderOfTheFile) {
  const Parsed parsed = parse_rules(with_steps("{ set = { window = 1, ttl = 2, dscp = \"ef\" } }, "
                                               "\"log\", { mark = \"0x1/0x3\" }, { queue = 7 }"),
                                    "f");
  ASSERT_TRUE(parsed.ok());
  const auto& steps = parsed.set.rules[0].steps;
  ASSERT_EQ(steps.size(), 4u);
  const auto& set = std::get<SetStep>(steps[0].what).assignments;
  EXPECT_EQ(set[0].field, Field::kWindow);
  EXPECT_EQ(set[1].field, Field::kTtl);
  EXPECT_EQ(set[2].number, 46u);
  EXPECT_EQ(std::get<MarkStep>(steps[2].what).mask, 3u);
  EXPECT_EQ(std::get<VerdictStep>(steps[3].what).queue, 7);
}

class TableFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/fettle-parse-XXXXXX";
    folder_ = mkdtemp(folder);
    write("f.toml", "[table.t]\nfile = \"t.csv\"\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  Parsed parse() const { return parse_rule_file((folder_ / "f.toml").string()).value(); }
  std::filesystem::path folder_;
};

TEST_F(TableFileTest, IsLookedForBesideTheRuleFile) {
  write("t.csv",
        "# inside,outside\n10.0.0.1, 192.0.2.1\n\n 10.1.0.0/16 ,192.168.0.0/16 # a net\r\n");
  const Parsed parsed = parse();
  ASSERT_TRUE(parsed.ok()) << render(parsed.diagnostics, parsed.sources);
  ASSERT_EQ(parsed.set.tables[0].entries.size(), 2u);
  EXPECT_EQ(parsed.set.tables[0].entries[1].outside.to_string(), "192.168.0.0/16");
}

TEST_F(TableFileTest, ARefusedLineIsShownInItsOwnFile) {
  write("t.csv", "10.0.0.1,192.0.2.1\n10.0.0.2,192.0.2\n");
  const Parsed parsed = parse();
  const std::string said = render(parsed.diagnostics, parsed.sources);
  EXPECT_NE(said.find("t.csv:2:10: error: found \"192.0.2\", expected an IPv4 or IPv6 address"),
            std::string::npos)
      << said;
  EXPECT_NE(said.find("    2 | 10.0.0.2,192.0.2\n      |          ^~~~~~~"), std::string::npos)
      << said;
}

TEST_F(TableFileTest, AMillionEntriesAreRead) {
  std::string text;
  for (uint32_t i = 0; i < 1'000'000; ++i) {
    text += fmt::format("10.{}.{}.{},172.{}.{}.{}\n", i >> 16, (i >> 8) & 255, i & 255,
                        16 + (i >> 16), (i >> 8) & 255, i & 255);
  }
  write("t.csv", text);
  const Parsed parsed = parse();
  EXPECT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.set.tables[0].entries.size(), 1'000'000u);
}

TEST(ParseTest, AFileThatIsNotThereSaysSo) {
  const auto parsed = parse_rule_file("no/such/file.toml");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::kNoInput);
  EXPECT_EQ(parsed.error().message,
            "cannot read the rule file no/such/file.toml: No such file or directory");
}

TEST(NearestWordTest, SuggestsSlipsAndNothingElse) {
  const std::vector<std::string_view> known{"dst-port", "src-port", "protocol"};
  EXPECT_EQ(nearest_word("dst-prot", known), "dst-port");
  EXPECT_EQ(nearest_word("protocl", known), "protocol");
  EXPECT_EQ(nearest_word("payload", known), "");
  EXPECT_EQ(nearest_word("", known), "");
}

}  // namespace
}  // namespace fettle
