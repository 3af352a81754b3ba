// How two states of a packet are laid beside each other.
#include "core/side_by_side.h"

#include <gtest/gtest.h>

#include "tests/packet_judge.h"

namespace fettle {
namespace {

using testing::ByteVector;
using testing::filled;
using testing::hex;

std::string show(const ByteVector& left, const ByteVector& right, SideBySide style = {}) {
  return side_by_side(left, right, style);
}

TEST(SideBySideTest, MarksBytesThatDifferOnBothSides) {
  EXPECT_EQ(show(hex("4b41 0a14000b 7e7f"), hex("4b41 cb00710b 7e7f")),
            "before                                    after\n"
            "0000  4b 41*0a*14*00 0b 7e 7f  KA....~.   "
            "0000  4b 41*cb*00*71 0b 7e 7f  KA..q.~.\n");
}

TEST(SideBySideTest, ColoursOnlyWhereAskedTo) {
  const std::string plain = show(hex("41"), hex("42"));
  EXPECT_EQ(plain.find('\033'), std::string::npos);
  const std::string coloured = show(hex("41"), hex("42"), {.colour = true});
  EXPECT_NE(coloured.find("\033[1;31m*41\033[0m"), std::string::npos) << coloured;
  EXPECT_NE(coloured.find("\033[1;32m*42\033[0m"), std::string::npos) << coloured;
  EXPECT_NE(coloured.find("\033[1;31mA\033[0m"), std::string::npos) << coloured;
}

TEST(SideBySideTest, WhatIsPutInMovesWhatStandsBehindIt) {
  EXPECT_EQ(show(hex("01020304 05060708 0a"), hex("0102aabb 03040506 07080a"), {"was", "is"}),
            "was                                       is\n"
            "0000  01 02*--*-- 03 04 05 06  ..  ....   "
            "0000  01 02*aa*bb 03 04 05 06  ........\n"
            "0006  07 08 0a                 ...        "
            "0008  07 08 0a                 ...\n");
}

TEST(SideBySideTest, LinesFarFromAnyDifferenceAreLeftOut) {
  const ByteVector left = filled(80);
  ByteVector right = left;
  right[40] = ~right[40];
  const std::string said = show(left, right);
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 6) << said;
  EXPECT_NE(said.find("\n...\n0020 "), std::string::npos) << said;
  EXPECT_NE(said.find("\n0030 "), std::string::npos) << said;
  EXPECT_TRUE(said.ends_with("\n...\n")) << said;
  const std::string whole = show(left, right, {.whole = true});
  EXPECT_EQ(std::count(whole.begin(), whole.end(), '\n'), 11) << whole;
}

TEST(SideBySideTest, NothingBesideSomething) {
  EXPECT_EQ(show({}, hex("41"), {"a", "b"}),
            "a                                         b\n"
            "0000 *--                                  0000 *41                       A\n");
  EXPECT_EQ(show({}, {}, {"a", "b"}), "a                                         b\n");
}

TEST(SideBySideTest, DifferencesAreRanges) {
  using All = std::vector<Difference>;
  EXPECT_EQ(differences(hex("010203"), hex("010203")), All{});
  EXPECT_EQ(differences(hex("0102030405"), hex("ff02ffff05")), (All{{0, 1, 0, 1}, {2, 4, 2, 4}}));
  EXPECT_EQ(differences(hex("01020304"), hex("0102aabb0304")), (All{{2, 2, 2, 4}}));
  EXPECT_EQ(differences(hex("0102aabb0304"), hex("01020304")), (All{{2, 4, 2, 2}}));
  EXPECT_EQ(differences(hex("0102"), hex("010203")), (All{{2, 2, 2, 3}}));
  EXPECT_EQ(differences(hex("0102"), {}), (All{{0, 2, 0, 0}}));
}

}  // namespace
}  // namespace fettle
