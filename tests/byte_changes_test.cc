#include "workers/byte_changes.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fettle {
namespace {

std::string text(std::string_view before, std::string_view after, size_t headers = 0) {
  const auto bytes = [](std::string_view from) { return std::as_bytes(std::span(from)); };
  return changes_text(find_changes(bytes(before), bytes(after), headers));
}

TEST(ByteChanges, NothingDiffersNothingIsSaid) {
  EXPECT_EQ(text("abc", "abc"), "");
  EXPECT_EQ(text("", ""), "");
}

TEST(ByteChanges, EachPlaceHasItsBytesBeforeAndAfter) {
  EXPECT_EQ(text("abcdefgh", "aBcdefgh"), "change 1 byte at 1: 62 -> 42");
  EXPECT_EQ(text("abcdefgh", "ABcdefgH"), "change 2 bytes at 0: 6162 -> 4142, 1 at 7: 68 -> 48");
}

// An address of which one byte stays is one change, not two.
TEST(ByteChanges, NeighboursAreOneUpToTwoEqualBytesBetweenThem) {
  EXPECT_EQ(text("abcd", "AbcD"), "change 4 bytes at 0: 61626364 -> 41626344");
  EXPECT_EQ(text("abcde", "AbcdE"), "change 1 byte at 0: 61 -> 41, 1 at 4: 65 -> 45");
}

TEST(ByteChanges, AnotherLengthIsOnePlaceOfThePayload) {
  EXPECT_EQ(text("abcdef", "abcXYdef"), "insert 2 bytes at 3: 5859");
  EXPECT_EQ(text("abcdef", "abf"), "delete 3 bytes at 2: 636465");
  EXPECT_EQ(text("abcdef", "abXYZef"), "change 2 bytes at 2 to 3: 6364 -> 58595a");
  EXPECT_EQ(text("", "ab"), "insert 2 bytes at 0: 6162");
  EXPECT_EQ(text("aaaa", "aa"), "delete 2 bytes at 2: 6161") << "the ends do not overlap";
}

// Their length and checksums stand in headers that did not move.
TEST(ByteChanges, HeadersAreComparedWhereTheyStand) {
  EXPECT_EQ(text("H1xxxxabcdef", "H2xxxxabcXdef", 6),
            "change 1 byte at 1: 31 -> 32, insert 1 byte at 9: 58");
  EXPECT_EQ(text("Hcabcd", "Hdzbcd", 2), "change 1 byte at 1: 63 -> 64, 1 at 2: 61 -> 7a")
      << "a checksum is no part of the payload";
  EXPECT_EQ(text("H1", "H", 6), "delete 1 byte at 1: 31") << "headers beyond the shorter one";
}

TEST(ByteChanges, ALineIsBounded) {
  EXPECT_EQ(text(std::string(40, 'a'), std::string(40, 'b')),
            "change 40 bytes at 0: " + std::string("61616161616161616161616161616161..") +
                " -> 62626262626262626262626262626262..");
  std::string before(80, 'a'), after = before;
  for (size_t i = 0; i < 80; i += 8) after[i] = 'b';
  const std::string found = text(before, after);
  EXPECT_NE(found.find("1 at 56: 61 -> 62, and at 2 more places"), std::string::npos) << found;
  EXPECT_EQ(found.find("at 64"), std::string::npos);
}

}  // namespace
}  // namespace fettle
