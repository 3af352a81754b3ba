// Against the kernel's own formulas, as tests/stream_wire.h has them.
#include "core/sequence_shift.h"

#include <gtest/gtest.h>

#include "tests/stream_wire.h"

namespace fettle::testing {
namespace {

TEST(SequenceShift, RemovesWhatTheKernelRemoves) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    const auto start = static_cast<uint32_t>(random());
    const KernelShift kernel{{.position = start,
                              .before = 0u - pick(random, 40) + pick(random, 40),
                              .after = 0u - pick(random, 40) + pick(random, 40)}};
    const uint32_t number = start - 200 + pick(random, 400);
    EXPECT_EQ(kernel.told.removed_from(number), kernel.of_answer(number));
  }
}

TEST(SequenceShift, AddsWhatTheKernelWillRemove) {
  std::mt19937_64 random(2);
  uint32_t lower = 0;
  for (int i = 0; i < 100000; ++i) {
    const auto start = static_cast<uint32_t>(random());
    const uint32_t before = 0u - pick(random, 40) + pick(random, 40);
    const uint32_t after = before + pick(random, 40) - pick(random, 20);
    const KernelShift kernel{{.position = start, .before = before, .after = after}};
    const uint32_t number = start - 200 + pick(random, 400);
    const uint32_t made = kernel.of_answer(kernel.told.added_to(number));
    const auto shrunk = static_cast<int32_t>(before - after);
    const auto behind = static_cast<int32_t>(number - start);
    if (shrunk > 0 && behind > 0 && behind <= shrunk) {
      EXPECT_EQ(made, start) << behind << " of " << shrunk;  // the kernel makes it of nothing
      ++lower;
    } else {
      EXPECT_EQ(made, number) << behind << ", " << before << ", " << after;
    }
  }
  EXPECT_GT(lower, 100u);
}

TEST(SequenceShift, OneNumberForAllIsTakenAndGivenBack) {
  const SequenceShift shift{.position = 0, .before = 0x9abcdef0, .after = 0x9abcdef0};
  for (const uint32_t number : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    EXPECT_EQ(shift.removed_from(number), number - 0x9abcdef0);
    EXPECT_EQ(shift.added_to(shift.removed_from(number)), number);
  }
}

}  // namespace
}  // namespace fettle::testing
