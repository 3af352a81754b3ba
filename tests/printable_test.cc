// Bytes from outside, as they are shown and as JSON has them.
#include "workers/printable.h"

#include <gtest/gtest.h>

#include "workers/json.h"

namespace fettle {
namespace {

using namespace std::string_view_literals;

TEST(Printable, TextStays) {
  EXPECT_EQ(printable("rule 1, \"quoted\""), "rule 1, \"quoted\"");
  EXPECT_EQ(printable("na\u00efve \u2192 \U0001f600"), "na\u00efve \u2192 \U0001f600");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, ControlCharactersAreSpeltOut) {
  EXPECT_EQ(printable("a\nb\tc\rd\x1b[0m\x7f\0"sv), "a\\nb\\tc\\rd\\x1b[0m\\x7f\\x00");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");  // CSI, which some terminals obey
  EXPECT_EQ(printable("C:\\x"), "C:\\\\x");        // not to be taken for a spelt-out byte
}

TEST(Printable, BytesThatAreNoUtf8AreSpeltOut) {
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
}

TEST(Printable, LongTextIsCutBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 4), "abcd...");
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("\u00e4\u00e4\u00e4", 3), "\u00e4\u00e4...");
}

TEST(Printable, LinesStayLines) {
  EXPECT_EQ(printable_lines("a.toml:1:2: error\n  \\d\x1b[31m"),
            "a.toml:1:2: error\n  \\d\\x1b[31m");
}

TEST(Json, StringsAreValid) {
  EXPECT_EQ(json_string("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\u000a\\u0001\"");
  EXPECT_EQ(json_string("\u00e4\xff"), "\"\u00e4\\ufffd\"");
}

TEST(Json, ObjectsAndArrays) {
  EXPECT_EQ(JsonObject().text(), "{}");
  EXPECT_EQ(JsonObject()
                .add("text", "a")
                .add("number", -1)
                .add("yes", true)
                .add_json("list", json_array({"1", "{}"}))
                .text(),
            R"({"text":"a","number":-1,"yes":true,"list":[1,{}]})");
}

}  // namespace
}  // namespace fettle
