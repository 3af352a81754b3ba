#include "core/address.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

TEST(AddressTest, ParsesAndPrintsBothFamilies) {
  for (const char* text :
       {"0.0.0.0", "10.20.0.11", "255.255.255.255", "::", "::1", "2001:db8::1:2"}) {
    const auto address = Address::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
  }
}

TEST(AddressTest, RefusesWhatInetPtonRefuses) {
  for (const char* text :
       {"", "10.1", "010.0.0.1x", "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ", "::g", "1::2::3",
        "10.0.0.1/8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"}) {
    EXPECT_FALSE(Address::parse(text)) << text;
  }
}

TEST(AddressTest, MasksAtAnyLength) {
  EXPECT_EQ(mask_address(*Address::parse("255.255.255.255"), 0).to_string(), "0.0.0.0");
  EXPECT_EQ(mask_address(*Address::parse("255.255.255.255"), 9).to_string(), "255.128.0.0");
  EXPECT_EQ(mask_address(*Address::parse("255.255.255.255"), 32).to_string(), "255.255.255.255");
  EXPECT_EQ(mask_address(*Address::parse("ffff:ffff::ffff"), 17).to_string(), "ffff:8000::");
  EXPECT_EQ(mask_address(*Address::parse("::ffff"), 128).to_string(), "::ffff");
}

TEST(PrefixTest, ContainsItsOwnAndNoOther) {
  const auto prefix = Prefix::parse("10.20.0.0/15");
  ASSERT_TRUE(prefix);
  EXPECT_TRUE(prefix->contains(*Address::parse("10.21.255.255")));
  EXPECT_FALSE(prefix->contains(*Address::parse("10.22.0.0")));
  EXPECT_FALSE(prefix->contains(*Address::parse("::10.20.0.0")));
  EXPECT_TRUE(Prefix::parse("::/0")->contains(*Address::parse("2001:db8::1")));
  EXPECT_FALSE(Prefix::parse("0.0.0.0/0")->contains(*Address::parse("::")));
}

TEST(PrefixTest, AnAddressAloneIsAHost) {
  EXPECT_TRUE(Prefix::parse("10.0.0.1")->is_host());
  EXPECT_EQ(Prefix::parse("2001:db8::1")->to_string(), "2001:db8::1");
  EXPECT_EQ(Prefix::parse("10.0.0.0/8")->to_string(), "10.0.0.0/8");
}

TEST(PrefixTest, SaysWhatWasExpected) {
  std::string expected;
  EXPECT_FALSE(Prefix::parse("10.20.4.1/24", &expected));
  EXPECT_EQ(expected, "no bits set beyond /24, as in 10.20.4.0/24");
  EXPECT_FALSE(Prefix::parse("10.0.0.0/33", &expected));
  EXPECT_EQ(expected, "a prefix length from 0 to 32");
  EXPECT_FALSE(Prefix::parse("2001:db8::/", &expected));
  EXPECT_EQ(expected, "a prefix length from 0 to 128");
  EXPECT_FALSE(Prefix::parse("printer", &expected));
  EXPECT_EQ(expected, "an IPv4 or IPv6 address or prefix, like 10.0.0.0/8 or 2001:db8::1");
}

}  // namespace
}  // namespace fettle
