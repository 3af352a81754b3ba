#include "rules/perfect_hash.h"

#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace fettle {
namespace {

std::vector<uint64_t> numbers(size_t count) {
  std::mt19937_64 random(20261128 + count);
  std::vector<uint64_t> out(count);
  for (uint64_t& number : out) number = random();
  return out;
}

TEST(PerfectHash, gives_each_number_a_slot_of_its_own) {
  for (const size_t count : {1, 2, 3, 7, 16, 100, 1000, 30'000, 300'000}) {
    const auto hashes = numbers(count);
    const auto hash = PerfectHash::build(hashes);
    ASSERT_TRUE(hash) << count;
    EXPECT_LE(hash->slots(), count * 4 / 3 + 1);
    EXPECT_LE(hash->memory(), count * 2 / 5 + 1);
    std::vector<bool> taken(hash->slots());
    for (const uint64_t number : hashes) {
      const uint32_t slot = hash->slot_of(number);
      ASSERT_LT(slot, hash->slots()) << count;
      ASSERT_FALSE(taken[slot]) << count;
      taken[slot] = true;
    }
  }
}

TEST(PerfectHash, gives_others_a_slot_that_there_is) {
  const auto hash = PerfectHash::build(numbers(100)).value();
  for (const uint64_t number : numbers(10'000)) ASSERT_LT(hash.slot_of(number), hash.slots());
  EXPECT_LT(PerfectHash::build({}).value().slot_of(~uint64_t{0}), 1u);
}

TEST(PerfectHash, there_is_none_for_a_number_given_twice) {
  auto hashes = numbers(1000);
  hashes[999] = hashes[0];
  EXPECT_FALSE(PerfectHash::build(hashes));
}

}  // namespace
}  // namespace fettle
