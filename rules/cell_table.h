// Which of many intervals a number lies in: rows of cells, each over all 32-bit numbers, one value
// a cell. The number's leading bits index a row's slots; a slot that several cells share has a row
// of its own for the next bits, or a line of starts to compare with. So a number is found in one
// or two reads where cells are spread evenly, and in no more than eight wherever they lie.
//
// For one who fills it before it is read; read only afterwards.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fettle {

class CellTable {
 public:
  static constexpr uint32_t kMostValue = (uint32_t{1} << 31) - 1;

  // Slots [first, first + last] are `shift` bits of numbers wide, from `base` on; what lies
  // elsewhere is in the last one.
  struct Row {
    uint32_t base = 0;
    uint32_t first = 0;
    uint32_t last = 0;
    uint32_t shift = 0;
  };

  // Cell i holds numbers from starts[i] to before starts[i + 1]. starts[0] is 0, the others rise;
  // no value is above kMostValue.
  Row add(std::span<const uint32_t> starts, std::span<const uint32_t> values);

  uint32_t find(const Row& row, uint32_t number) const noexcept {
    uint32_t out = slot(row, number);
    while ((out & kReference) != 0) {
      const uint32_t at = out & kPlace;
      if ((out & kToLine) != 0) return find_in(lines_[at], number);
      out = slot(rows_[at], number);
    }
    return out;
  }

  void shrink_to_fit();
  size_t memory() const noexcept;

 private:
  static constexpr uint32_t kReference = uint32_t{1} << 31;  // a slot's: not a value
  static constexpr uint32_t kToLine = uint32_t{1} << 30;
  static constexpr uint32_t kPlace = kToLine - 1;
  static constexpr size_t kLine = 8;

  using Numbers = int32_t __attribute__((vector_size(16)));
  // Starts in rising order, flipped.
  struct alignas(64) Line {
    Numbers starts[2];
    uint32_t values[kLine];
  };
  // SSE2 compares signed numbers only.
  static int32_t flipped(uint32_t number) noexcept {
    return static_cast<int32_t>(number ^ (uint32_t{1} << 31));
  }
  struct Cells {
    std::span<const uint32_t> starts, values;
    size_t size() const { return starts.size(); }
  };

  static uint32_t slot_of(const Row& row, uint32_t number) noexcept {
    return row.first + std::min((number - row.base) >> row.shift, row.last);
  }
  uint32_t slot(const Row& row, uint32_t number) const noexcept {
    return slots_[slot_of(row, number)];
  }
  static uint32_t find_in(const Line& line, uint32_t number) noexcept {
    const int32_t one = flipped(number);
    const Numbers given = {one, one, one, one};
    const Numbers above = (line.starts[0] > given) + (line.starts[1] > given);
    const int greater = above[0] + above[1] + above[2] + above[3];  // each counts -1
    return line.values[static_cast<size_t>(static_cast<int>(kLine) - 1 + greater)];
  }

  uint32_t lay_out(const Cells& cells, uint32_t low, uint32_t high);
  uint32_t line(const Cells& cells);
  Row row(const Cells& cells, uint32_t low, uint32_t high);

  std::vector<uint32_t> slots_;
  std::vector<Row> rows_;
  std::vector<Line> lines_;
};

}  // namespace fettle
