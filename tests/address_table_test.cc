#include "rules/address_table.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace fettle {
namespace {

Address address(const std::string& text) { return Address::parse(text).value(); }
TableEntry entry(const std::string& inside, const std::string& outside) {
  return {.inside = Prefix::parse(inside).value(),
          .outside = Prefix::parse(outside).value(),
          .where = {}};
}
AddressTable table_of(const std::vector<TableEntry>& entries, bool reverse = false) {
  size_t duplicate = 0;
  return AddressTable::build(entries, reverse, &duplicate).value();
}
std::string looked_up(const AddressTable& table, const std::string& text) {
  const auto found = table.find(address(text));
  return found ? found->to_string() : "none";
}

// What find() means, without an index: the longest prefix that contains the address.
std::optional<Address> plain_find(const std::vector<TableEntry>& entries, bool reverse,
                                  const Address& wanted) {
  const TableEntry* best = nullptr;
  for (const TableEntry& candidate : entries) {
    const Prefix& from = reverse ? candidate.outside : candidate.inside;
    if (from.contains(wanted) && (!best || from.length > best->inside.length)) best = &candidate;
  }
  if (!best) return std::nullopt;
  Address out = (reverse ? best->inside : best->outside).address;
  for (uint32_t bit = best->inside.length; bit < wanted.bits(); ++bit) {
    const auto mask = std::byte(0x80 >> bit % 8);
    out.bytes[bit / 8] |= wanted.bytes[bit / 8] & mask;
  }
  return out;
}

const std::vector<TableEntry> kBranches = {
    entry("10.20.0.11", "203.0.113.11"),      entry("10.20.4.0/24", "203.0.114.0/24"),
    entry("10.20.4.128/25", "192.0.2.0/25"),  entry("10.20.4.200", "198.51.100.1"),
    entry("fd00:20::/64", "2001:db8:7::/64"), entry("fd00:20::b", "2001:db8::b"),
};

TEST(AddressTable, looks_up_the_longest_prefix_and_keeps_the_host_part) {
  const AddressTable table = table_of(kBranches);
  const std::pair<const char*, const char*> cases[] = {
      {"10.20.0.11", "203.0.113.11"},
      {"10.20.0.12", "none"},
      {"10.20.4.0", "203.0.114.0"},
      {"10.20.4.127", "203.0.114.127"},
      {"10.20.4.128", "192.0.2.0"},
      {"10.20.4.199", "192.0.2.71"},
      {"10.20.4.200", "198.51.100.1"},
      {"10.20.5.0", "none"},
      {"fd00:20::b", "2001:db8::b"},
      {"fd00:20::c:1", "2001:db8:7::c:1"},
      {"fd00:20:0:1::", "none"},
      {"::", "none"},
      {"0.0.0.0", "none"},
      {"255.255.255.255", "none"},
  };
  for (const auto& [from, to] : cases) EXPECT_EQ(looked_up(table, from), to) << from;
}

TEST(AddressTable, looks_up_right_to_left) {
  const AddressTable table = table_of(kBranches, true);
  EXPECT_EQ(looked_up(table, "203.0.113.11"), "10.20.0.11");
  EXPECT_EQ(looked_up(table, "203.0.114.9"), "10.20.4.9");
  EXPECT_EQ(looked_up(table, "192.0.2.9"), "10.20.4.137");
  EXPECT_EQ(looked_up(table, "10.20.0.11"), "none");
  EXPECT_EQ(looked_up(table, "2001:db8:7::1"), "fd00:20::1");
}

TEST(AddressTable, whole_families_and_extreme_addresses_are_entries_like_others) {
  const AddressTable table = table_of(
      {entry("0.0.0.0/0", "0.0.0.0/0"), entry("0.0.0.0", "10.0.0.1"), entry("0.0.0.1", "10.0.0.2"),
       entry("255.255.255.255", "10.0.0.3"), entry("::/0", "::/0"), entry("::", "::5"),
       entry("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::6")});
  EXPECT_EQ(looked_up(table, "0.0.0.0"), "10.0.0.1");
  EXPECT_EQ(looked_up(table, "0.0.0.1"), "10.0.0.2");
  EXPECT_EQ(looked_up(table, "0.0.0.2"), "0.0.0.2");
  EXPECT_EQ(looked_up(table, "255.255.255.255"), "10.0.0.3");
  EXPECT_EQ(looked_up(table, "255.255.255.254"), "255.255.255.254");
  EXPECT_EQ(looked_up(table, "::"), "::5");
  EXPECT_EQ(looked_up(table, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::6");
  EXPECT_EQ(looked_up(table, "2001:db8::"), "2001:db8::");
}

TEST(AddressTable, an_empty_table_holds_nothing) {
  const AddressTable table = table_of({});
  EXPECT_EQ(table.size(), 0u);
  EXPECT_FALSE(table.has(Family::kIpv4));
  EXPECT_FALSE(table.has(Family::kIpv6));
  EXPECT_EQ(looked_up(table, "10.0.0.1"), "none");
}

TEST(AddressTable, says_what_it_holds) {
  const AddressTable table = table_of(kBranches);
  EXPECT_EQ(table.size(), 6u);
  EXPECT_TRUE(table.has(Family::kIpv4));
  EXPECT_TRUE(table.has(Family::kIpv6));
  EXPECT_FALSE(table_of({entry("10.0.0.1", "10.0.0.2")}).has(Family::kIpv6));
  EXPECT_GE(table.memory(), 2 * 4 * 4 + 2 * 16 * 2u);
}

TEST(AddressTable, names_the_second_of_two_entries_with_one_source) {
  const std::vector<TableEntry> entries = {
      entry("10.0.0.1", "192.0.2.1"), entry("10.0.0.0/24", "192.0.2.0/24"),
      entry("10.0.0.2", "192.0.2.1"), entry("10.0.0.1", "192.0.2.9")};
  size_t duplicate = 0;
  EXPECT_FALSE(AddressTable::build(entries, false, &duplicate));
  EXPECT_EQ(duplicate, 3u);
  EXPECT_FALSE(AddressTable::build(entries, true, &duplicate));
  EXPECT_EQ(duplicate, 2u);
}

// Half of an address that makes the product of the first hash 0, whatever the other half is.
TEST(AddressTable, addresses_with_one_hash_are_told_apart) {
  std::vector<TableEntry> entries;
  for (int i = 1; i < 100; ++i) {
    const std::string from = fmt::format("fd00:{:x}::d6e8:feb8:6659:fd93", i);
    entries.push_back(entry(from, fmt::format("2001:db8::{:x}", i)));
  }
  const AddressTable table = table_of(entries);
  for (const TableEntry& one : entries)
    EXPECT_EQ(table.find(one.inside.address), one.outside.address);
  entries.push_back(entries[7]);
  size_t duplicate = 0;
  EXPECT_FALSE(AddressTable::build(entries, false, &duplicate));
  EXPECT_EQ(duplicate, 99u);
}

class RandomTable : public testing::TestWithParam<Family> {
 protected:
  // Few distinct bits, so that prefixes nest and lookups hit.
  Address random_address() {
    Address out;
    out.family = GetParam();
    for (uint32_t i = 0; i < out.size(); ++i)
      out.bytes[i] = std::byte(random_() % 4 ? 0 : random_() % 3);
    return out;
  }
  Prefix random_prefix(uint32_t length) {
    return {mask_address(random_address(), length), static_cast<uint8_t>(length)};
  }
  std::mt19937 random_{20240611};
};

TEST_P(RandomTable, agrees_with_a_walk_over_all_entries) {
  size_t hits = 0;
  for (int round = 0; round < 60; ++round) {
    std::vector<TableEntry> entries;
    std::set<Prefix> seen[2];
    for (int i = 0; i < 200; ++i) {
      const auto length = static_cast<uint32_t>(random_() % (random_address().bits() + 1));
      const TableEntry made{random_prefix(length), random_prefix(length), {}};
      if (seen[0].contains(made.inside) || seen[1].contains(made.outside)) continue;
      seen[0].insert(made.inside);
      seen[1].insert(made.outside);
      entries.push_back(made);
    }
    for (const bool reverse : {false, true}) {
      const AddressTable table = table_of(entries, reverse);
      for (int i = 0; i < 400; ++i) {
        const Address wanted = random_address();
        const auto expected = plain_find(entries, reverse, wanted);
        ASSERT_EQ(table.find(wanted), expected) << wanted.to_string();
        hits += expected.has_value();
      }
    }
  }
  EXPECT_GT(hits, 5000u);
}
// So many entries that a filter is in front of the levels; few lengths hold most of them, so that
// some are too short for it.
TEST_P(RandomTable, agrees_with_a_walk_over_thousands_of_entries) {
  const uint32_t bits = random_address().bits();
  const auto any_length = [&] { return static_cast<uint32_t>(random_() % (bits + 1)); };
  const auto usual_length = [&] { return bits - 4 * static_cast<uint32_t>(random_() % 3); };
  const auto anywhere = [&] {
    Address out = random_address();
    for (uint32_t i = out.size() - 3; i < out.size(); ++i) out.bytes[i] = std::byte(random_());
    return out;
  };
  std::vector<TableEntry> entries;
  std::set<Prefix> seen;
  while (entries.size() < 4000) {
    const auto length = static_cast<uint8_t>(random_() % 8 ? usual_length() : any_length());
    const Prefix inside{mask_address(anywhere(), length), length};
    if (!seen.insert(inside).second) continue;
    entries.push_back({inside, {mask_address(anywhere(), length), length}, {}});
  }
  const AddressTable table = table_of(entries);
  size_t hits = 0;
  for (int i = 0; i < 4000; ++i) {
    Address wanted = anywhere();
    if (i % 2) {
      wanted = entries[random_() % entries.size()].inside.address;
      wanted.bytes[wanted.size() - 1] |= std::byte(random_() % 8);
    }
    const auto expected = plain_find(entries, false, wanted);
    ASSERT_EQ(table.find(wanted), expected) << wanted.to_string();
    hits += expected.has_value();
  }
  EXPECT_GT(hits, 2000u);
}
INSTANTIATE_TEST_SUITE_P(AddressTable, RandomTable, testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& tested) {
                           return tested.param == Family::kIpv4 ? "ipv4" : "ipv6";
                         });

TEST(AddressTable, a_million_entries_are_all_found) {
  constexpr uint32_t kEntries = 1'000'000;
  std::vector<TableEntry> entries(kEntries);
  for (uint32_t i = 0; i < kEntries; ++i) {
    entries[i].inside = {Address::ipv4(0x0a000000 + i), 32};
    entries[i].outside = {Address::ipv4(0xc0000000 + i * 7), 32};
  }
  const AddressTable table = table_of(entries);
  EXPECT_EQ(table.size(), kEntries);
  for (uint32_t i = 0; i < kEntries; ++i) {
    ASSERT_EQ(table.find(entries[i].inside.address), entries[i].outside.address) << i;
  }
  EXPECT_FALSE(table.find(Address::ipv4(0x0a000000 + kEntries)));
  EXPECT_FALSE(table.find(Address::ipv4(0x09ffffff)));
}

}  // namespace
}  // namespace fettle
