// Markdown as man(7). That man and mandoc find nothing to say about the pages themselves,
// completions_test.sh sees.
#include "workers/man_page.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace fettle {
namespace {

// Without what stands before the text.
std::string body(std::string_view markdown) {
  const std::string page = man_page({.name = "x", .section = "1", .summary = ""}, markdown);
  return page.substr(page.find('\n', page.find("\n.TH") + 1) + 1);
}

TEST(ManPageTest, BeginsWithItsTitleAndTheDateOfTheSource) {
  setenv("SOURCE_DATE_EPOCH", "86400", 1);
  const std::string page =
      man_page({.name = "fettle-rules", .section = "5", .summary = "a language"}, "Text.\n");
  unsetenv("SOURCE_DATE_EPOCH");
  EXPECT_NE(page.find(".TH FETTLE-RULES 5 1970-01-02 \"fettle "), std::string::npos) << page;
  EXPECT_TRUE(page.ends_with(".SH NAME\nfettle-rules \\- a language\n.SH DESCRIPTION\nText.\n"))
      << page;
}

TEST(ManPageTest, KeepsTypewritersCharacters) {
  EXPECT_EQ(body("a-b it's ~x ^y `a\\.b`\n"), "a\\-b it\\(aqs \\(tix \\(hay \\fBa\\e.b\\fR\n");
}

TEST(ManPageTest, NoLineOfTextIsARequest) {
  EXPECT_EQ(body("```\n.so /etc/passwd\n```\n"), ".RS 4\n.EX\n\\&.so /etc/passwd\n.EE\n.RE\n");
  EXPECT_EQ(body(".so x\n"), "\\&.so x\n");
  for (size_t filler = 70; filler < 80; ++filler) {
    const std::string text = body(std::string(filler, 'a') + " .br\n");
    EXPECT_EQ(text.find("\n.br"), std::string::npos) << text;
  }
}

TEST(ManPageTest, HasHeadingsListsAndParagraphs) {
  EXPECT_EQ(body("# Title\n\n## The file\n\nOne\ntwo.\n\nThree.\n\n1. First\n   goes on\n- dot\n\n"
                 "### `key`\n\nText.\n"),
            ".SH THE FILE\nOne two.\n.PP\nThree.\n.IP 1. 4\nFirst goes on\n.IP \\(bu 2\ndot\n"
            ".SS key\nText.\n");
}

TEST(ManPageTest, ATableIsAListOfItsFirstColumn) {
  EXPECT_EQ(body("| key | values | meaning |\n| --- | --- | --- |\n| `a` | x \\| y | What. |\n"),
            ".TP\n\\fBa\\fR  x | y\nWhat.\n");
  const std::string values(60, 'v');
  EXPECT_EQ(body("| key | values | meaning |\n| - | - | - |\n| `a` | " + values + " | What. |\n"),
            ".TP\n\\fBa\\fR\n" + values + "\n.br\nWhat.\n");
}

TEST(ManPageTest, MarksAndLinks) {
  EXPECT_EQ(body("**b** *i* [here](#there) [there](https://x.y)\n"),
            "\\fBb\\fR \\fIi\\fR here there (https://x.y)\n");
  EXPECT_EQ(body("2 * 3 * 4, `a*`, [[rule]], *open\n"), "2 * 3 * 4, \\fBa*\\fR, [[rule]], *open\n");
}

}  // namespace
}  // namespace fettle
