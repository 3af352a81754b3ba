#include "rules/cell_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace fettle {
namespace {

class Random {
 public:
  explicit Random(uint32_t seed) : random_(seed) {}
  uint32_t operator()() { return static_cast<uint32_t>(random_()); }

 private:
  std::mt19937 random_;
};

struct Cells {
  std::vector<uint32_t> starts{0};
  std::vector<uint32_t> values;

  // Values repeat, so that a row's first and last are now the same, now not.
  void finish(Random& random) {
    std::ranges::sort(starts);
    starts.erase(std::ranges::unique(starts).begin(), starts.end());
    for (size_t i = 0; i < starts.size(); ++i) values.push_back(random() % 3 ? random() >> 1 : 7);
    if (random() % 2) values.back() = values.front();
  }
  uint32_t value_of(uint32_t number) const {
    return values[static_cast<size_t>(std::ranges::upper_bound(starts, number) - starts.begin()) -
                  1];
  }
};

// Around every start, at both ends, and anywhere.
void expect_same(const CellTable& table, const CellTable::Row& row, const Cells& cells,
                 Random& random) {
  std::vector<uint32_t> numbers{0, 1, ~0u - 1, ~0u};
  for (const uint32_t start : cells.starts) {
    numbers.insert(numbers.end(), {start - 1, start, start + 1});
  }
  for (int i = 0; i < 500; ++i) numbers.push_back(random());
  for (const uint32_t number : numbers) {
    ASSERT_EQ(table.find(row, number), cells.value_of(number)) << number;
  }
}

TEST(CellTable, FindsWhatASearchOfTheStartsFinds) {
  Random random(20261125);
  CellTable table;  // one for all rows: a row must not reach into another's slots
  for (int round = 0; round < 400; ++round) {
    Cells cells;
    const uint32_t count = random() % 3 ? random() % 20 : random() % 3000;
    const uint32_t clusters = 1 + random() % 5;
    for (uint32_t cluster = 0; cluster < clusters; ++cluster) {
      const uint32_t width = 1 + random() % 32;
      const uint32_t base = random();
      const uint32_t align = random() % width;
      for (uint32_t i = 0; i < count; ++i) {
        cells.starts.push_back(base + (random() >> (32 - width) >> align << align));
      }
    }
    cells.finish(random);
    expect_same(table, table.add(cells.starts, cells.values), cells, random);
    if (HasFatalFailure()) return;
  }
}

TEST(CellTable, FindsInOneCell) {
  CellTable table;
  const uint32_t start = 0, value = 5;
  const CellTable::Row row = table.add({&start, 1}, {&value, 1});
  EXPECT_EQ(table.find(row, 0), 5u);
  EXPECT_EQ(table.find(row, ~0u), 5u);
}

TEST(CellTable, TellsAllNumbersApartAtBothEnds) {
  Random random(1);
  Cells cells;
  for (uint32_t i = 0; i < 70; ++i) {
    cells.starts.insert(cells.starts.end(), {i, ~0u - i});
  }
  cells.finish(random);
  CellTable table;
  expect_same(table, table.add(cells.starts, cells.values), cells, random);
}

// A start on each bit: every level of rows has one, and no table explodes.
TEST(CellTable, StaysSmallWhereverStartsLie) {
  Random random(2);
  Cells cells;
  for (uint32_t bit = 0; bit < 32; ++bit) {
    for (uint32_t i = 0; i < 12; ++i) cells.starts.push_back((1u << bit) + i);
  }
  cells.finish(random);
  CellTable table;
  expect_same(table, table.add(cells.starts, cells.values), cells, random);
  EXPECT_LT(table.memory(), cells.starts.size() * 128);
}

}  // namespace
}  // namespace fettle
