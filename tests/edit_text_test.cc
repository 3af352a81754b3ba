// What replace and translate find in texts: whole ones as data, and the same text cut at every
// place, which must become the same, as a stream's segments do.
#include "rules/edit_text.h"

#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "rules/address_search.h"
#include "rules/replacement.h"

namespace fettle {
namespace {

using Find = std::function<uint32_t(const EditText&, EditWorkspace&)>;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string edited(std::string_view text, const EditList& list) {
  std::string out;
  size_t from = 0;
  for (const StreamEdit& edit : list.edits()) {
    out += text.substr(from, edit.offset - from);
    out.append(reinterpret_cast<const char*>(edit.with.data()), edit.with.size());
    from = edit.offset + edit.length;
  }
  return out + std::string(text.substr(from));
}

std::string whole(const Find& find, std::string_view text) {
  const auto workspace = std::make_unique<EditWorkspace>();
  const EditText given{.bytes = bytes_of(text), .before = {}};
  EXPECT_EQ(find(given, *workspace), 0u);
  return edited(text, workspace->list);
}

// As the stream code hands bytes on: what is undecided comes again, with what follows it.
std::string in_pieces(const Find& find, std::string_view text, std::vector<size_t> cuts) {
  const auto workspace = std::make_unique<EditWorkspace>();
  cuts.push_back(text.size());
  std::string out;
  size_t decided = 0;
  for (size_t i = 0; i < cuts.size(); ++i) {
    const std::string_view piece = text.substr(decided, cuts[i] - decided);
    const size_t before = std::min<size_t>(decided, stream::kBefore);
    workspace->list.clear();
    uint32_t open = find({.bytes = bytes_of(piece),
                          .before = bytes_of(text.substr(decided - before, before)),
                          .begins = decided == 0,
                          .ends = i + 1 == cuts.size()},
                         *workspace);
    const auto size = static_cast<uint32_t>(piece.size());
    if (open > 0) {
      const uint32_t end = workspace->list.end_before(size - open);
      workspace->list.cut(end);
      open = size - end;
    }
    out += edited(piece.substr(0, size - open), workspace->list);
    decided += size - open;
  }
  return out;
}

void expect_same_in_pieces(const Find& find, std::string_view text, std::string_view wanted) {
  ASSERT_EQ(whole(find, text), wanted);
  for (size_t first = 1; first < text.size(); ++first) {
    ASSERT_EQ(in_pieces(find, text, {first}), wanted) << "cut at " << first;
    for (size_t second = first + 1; second < text.size(); ++second) {
      ASSERT_EQ(in_pieces(find, text, {first, second}), wanted)
          << "cut at " << first << " and " << second;
    }
  }
}

class Replace {
 public:
  Replace(std::string pattern, std::string_view with, bool ignore_case = false) {
    bool in_pattern = false;
    auto made = Replacement::make({.pattern = std::move(pattern),
                                   .ignore_case = ignore_case,
                                   .only_sifts = true,
                                   .where = {}},
                                  with, &in_pattern);
    EXPECT_TRUE(made) << (made ? "" : made.error());
    if (made) replacement_ = std::make_shared<Replacement>(std::move(*made));
  }
  uint32_t operator()(const EditText& text, EditWorkspace& workspace) const {
    bool gave_up = false;
    const uint32_t open = replacement_->find(text, workspace, &gave_up);
    EXPECT_FALSE(gave_up);
    return open;
  }

 private:
  std::shared_ptr<const Replacement> replacement_;
};

std::string refusal(std::string pattern, std::string_view with, bool* in_pattern) {
  const auto made = Replacement::make(
      {.pattern = std::move(pattern), .ignore_case = false, .only_sifts = true, .where = {}}, with,
      in_pattern);
  EXPECT_FALSE(made);
  return made ? "" : made.error();
}

TEST(Replacement, ReplacesEachMatchWithItsGroups) {
  EXPECT_EQ(whole(Replace("a(b*)c", "<$1>"), "abc ac abbbc b"), "<b> <> <bbb> b");
  EXPECT_EQ(whole(Replace("(?<who>[a-z]+)@(?<where>[a-z]+)", "${where}!${who}"), "mail me@home"),
            "mail home!me");
  EXPECT_EQ(whole(Replace("x", "$0$0$$"), "axb"), "axx$b");
  EXPECT_EQ(whole(Replace("HELLO", "", true), "say Hello"), "say ");
  EXPECT_EQ(whole(Replace("x", R"(\x00\xff\r\n\\\$1)"), "x"), std::string("\0\xff\r\n\\$1", 7));
}

TEST(Replacement, EmptyMatchesAreNone) { EXPECT_EQ(whole(Replace("b*", "-"), "abba"), "a-a"); }

TEST(Replacement, GroupsWithoutAMatchAreEmpty) {
  EXPECT_EQ(whole(Replace("a(b)?|c", "[$1]"), "ab a c"), "[b] [] []");
}

TEST(Replacement, RefusalsSayWhatIsWrong) {
  bool in_pattern = false;
  EXPECT_EQ(refusal("a(", "", &in_pattern), "missing closing parenthesis at its character 3");
  EXPECT_TRUE(in_pattern);
  EXPECT_EQ(refusal("a", "x$1", &in_pattern),
            "found \"$1\" at 2, expected $0 to $0, a group's ${name}, or $$ for a dollar sign");
  EXPECT_FALSE(in_pattern);
  EXPECT_EQ(refusal("(a)", "${b}", &in_pattern),
            "found \"${b}\" at 1, expected $0 to $1, a group's ${name}, or $$ for a dollar sign");
  EXPECT_EQ(refusal("a", R"(\q)", &in_pattern),
            "found \"\\q\" at 1, expected \\xHH, \\r, \\n, \\t, \\\\ or \\$");
  EXPECT_EQ(refusal("a", R"(\x4)", &in_pattern),
            "found \"\\x4\" at 1, expected \\xHH, \\r, \\n, \\t, \\\\ or \\$");
}

TEST(Replacement, WhereATextIsCutMakesNoDifference) {
  expect_same_in_pieces(Replace("foo", "quux"), "a foo, fofoo, fo", "a quux, foquux, fo");
  expect_same_in_pieces(Replace("[0-9]+", "<$0>"), "1 22 333 x4", "<1> <22> <333> x<4>");
  expect_same_in_pieces(Replace("(?m)^Server: (.*?)\\r$", "Server: none\r"),
                        "HTTP/1.1 200 OK\r\nServer: nginx/1.2\r\nX-Server: nginx\r\n\r\n",
                        "HTTP/1.1 200 OK\r\nServer: none\r\nX-Server: nginx\r\n\r\n");
  expect_same_in_pieces(Replace("\\bcat\\b", "dog"), "cat concat cat's cats cat",
                        "dog concat dog's cats dog");
  expect_same_in_pieces(Replace("^USER (\\w+)", "USER x-$1"), "USER me\nUSER me",
                        "USER x-me\nUSER me");
}

TEST(Replacement, ACostlyMatchGivesUp) {
  bool in_pattern = false;
  const auto made = Replacement::make(
      {.pattern = "(x+x+)+y", .ignore_case = false, .only_sifts = true, .where = {}}, "",
      &in_pattern);
  ASSERT_TRUE(made);
  const auto workspace = std::make_unique<EditWorkspace>();
  const std::string text = std::string(5000, 'x') + "zy";
  bool gave_up = false;
  made->find({.bytes = bytes_of(text), .before = {}}, *workspace, &gave_up);
  EXPECT_TRUE(gave_up);
  EXPECT_TRUE(workspace->list.edits().empty());
}

std::vector<TableEntry> entries() {
  std::vector<TableEntry> out;
  for (const auto& [inside, outside] :
       {std::pair("10.9.1.2", "198.51.100.1"), std::pair("10.9.2.0/24", "9.9.9.0/24"),
        std::pair("fd00::2", "2001:db8::1"), std::pair("fd01::/64", "2001:db8:1::/64")}) {
    out.push_back(
        {.inside = *Prefix::parse(inside), .outside = *Prefix::parse(outside), .where = {}});
  }
  return out;
}

const AddressTable& table() {
  static const AddressTable made = [] {
    size_t duplicate = 0;
    return std::move(*AddressTable::build(entries(), false, &duplicate));
  }();
  return made;
}

uint32_t text_in(const EditText& text, EditWorkspace& workspace) {
  return find_text(table(), text, workspace.list);
}
uint32_t comma_in(const EditText& text, EditWorkspace& workspace) {
  return find_comma(table(), text, workspace.list);
}
uint32_t binary_in(const EditText& text, EditWorkspace& workspace) {
  static const AddressBeginnings beginnings(entries(), false, Family::kIpv4);
  return find_binary(table(), beginnings, Family::kIpv4, text, workspace.list);
}

TEST(AddressSearch, TextIsFoundBetweenBoundariesOnly) {
  EXPECT_EQ(whole(text_in, "c=IN IP4 10.9.1.2\r\n"), "c=IN IP4 198.51.100.1\r\n");
  EXPECT_EQ(whole(text_in, "(10.9.1.2:5060) [10.9.2.77]."), "(198.51.100.1:5060) [9.9.9.77].");
  EXPECT_EQ(whole(text_in, "at 10.9.1.2. And 10.9.1.2"), "at 198.51.100.1. And 198.51.100.1");
  for (const char* other :
       {"110.9.1.2", "10.9.1.23", "10.9.1.2.3", "1.10.9.1.2", "x10.9.1.2", "10.9.1.2x", "10.9.1",
        "10.9.01.2", "10.9.1.2.in-addr.arpa", "10,9,1,2", "10.9.1.256", "_10.9.1.2"}) {
    EXPECT_EQ(whole(text_in, other), other);
  }
}

TEST(AddressSearch, Ipv6IsFoundInAllItsForms) {
  EXPECT_EQ(whole(text_in, "EPRT |2|fd00::2|5282|"), "EPRT |2|2001:db8::1|5282|");
  EXPECT_EQ(whole(text_in, "[FD00:0:0::0002]:80"), "[2001:db8::1]:80");
  EXPECT_EQ(whole(text_in, "at fd01::abcd: yes"), "at 2001:db8:1::abcd: yes");
  EXPECT_EQ(whole(text_in, "address:fd00::2."), "address:2001:db8::1.");
  for (const char* other : {"fd00::2a", "xfd00::2", "fd00::2x", "fd00::2:5", "12:34:56", "::"}) {
    EXPECT_EQ(whole(text_in, other), other);
  }
}

TEST(AddressSearch, CommasAreFtps) {
  EXPECT_EQ(whole(comma_in, "PORT 10,9,1,2,195,80\r\n"), "PORT 198,51,100,1,195,80\r\n");
  EXPECT_EQ(whole(comma_in, "227 Entering Passive Mode (10,9,1,2,117,58)."),
            "227 Entering Passive Mode (198,51,100,1,117,58).");
  for (const char* other : {"110,9,1,2,1,1", "10,9,1,22,1", "1,10,9,1,2,1,1", "10.9.1.2"}) {
    EXPECT_EQ(whole(comma_in, other), other);
  }
}

TEST(AddressSearch, BinaryIsFoundAtEveryPlace) {
  const std::string inside("\x0a\x09\x01\x02", 4), outside("\xc6\x33\x64\x01", 4);
  EXPECT_EQ(whole(binary_in, "a" + inside + inside + "b" + inside),
            "a" + outside + outside + "b" + outside);
  EXPECT_EQ(whole(binary_in, "\x0a" + inside), "\x0a" + outside);
}

TEST(AddressSearch, WhereATextIsCutMakesNoDifference) {
  expect_same_in_pieces(text_in, "10.9.1.2 110.9.1.2 x 10.9.1.2.",
                        "198.51.100.1 110.9.1.2 x 198.51.100.1.");
  expect_same_in_pieces(text_in, "|fd00::2| fd00::2a [fd01::7:8]",
                        "|2001:db8::1| fd00::2a [2001:db8:1::7:8]");
  expect_same_in_pieces(comma_in, "PORT 10,9,1,2,195,80\r\n 10,9,2,5",
                        "PORT 198,51,100,1,195,80\r\n 9,9,9,5");
  expect_same_in_pieces(binary_in, std::string("a\x0a\x09\x01\x0a\x09\x01\x02z\x0a\x09", 11),
                        std::string("a\x0a\x09\x01\xc6\x33\x64\x01z\x0a\x09", 11));
}

TEST(AddressSearch, OrdinaryEndsAreNotUndecided) {
  const auto workspace = std::make_unique<EditWorkspace>();
  for (const char* text : {"220 ready\r\n", "word", "x1", "a: b\r\n", "99999"}) {
    workspace->list.clear();
    EXPECT_EQ(text_in({.bytes = bytes_of(text), .before = {}, .ends = false}, *workspace), 0u)
        << text;
  }
}

TEST(EditList, KeepsOrderAndRefusesOverlaps) {
  const auto list = std::make_unique<EditList>();
  EXPECT_TRUE(list->add(10, 5, bytes_of("b")));
  EXPECT_TRUE(list->add(0, 10, bytes_of("a")));
  EXPECT_TRUE(list->add(15, 1, bytes_of("c")));
  EXPECT_FALSE(list->add(9, 2, bytes_of("x")));
  EXPECT_FALSE(list->add(14, 1, bytes_of("x")));
  ASSERT_EQ(list->edits().size(), 3u);
  EXPECT_EQ(list->edits()[1].offset, 10u);
  EXPECT_FALSE(list->full());
  EXPECT_EQ(list->end_before(12), 10u);
  list->cut(10);
  EXPECT_EQ(list->edits().size(), 1u);
}

TEST(EditList, SaysWhenItIsFull) {
  const auto list = std::make_unique<EditList>();
  for (uint32_t i = 0; i < EditList::kMost; ++i) EXPECT_TRUE(list->add(2 * i, 1, bytes_of("x")));
  EXPECT_FALSE(list->add(1000, 1, bytes_of("x")));
  EXPECT_TRUE(list->full());
}

}  // namespace
}  // namespace fettle
