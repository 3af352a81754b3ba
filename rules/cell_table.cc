#include "rules/cell_table.h"

#include <bit>

namespace fettle {
namespace {

// Slots for a start, by a power of two: few enough to stay in the caches, so many that most cells
// have slots to themselves. Where the numbers are not many more, each has its own.
constexpr int kSlotBits = 1;
constexpr int kDirectBits = 3;

}  // namespace

CellTable::Row CellTable::add(std::span<const uint32_t> starts, std::span<const uint32_t> values) {
  const Cells cells{starts, values};
  if (starts.size() > kLine) return row(cells, 0, ~uint32_t{0});
  const auto first = static_cast<uint32_t>(slots_.size());
  slots_.push_back(lay_out(cells, 0, ~uint32_t{0}));
  return {.base = 0, .first = first, .last = 0, .shift = 0};
}

// What a slot for [low, high] holds; the cells are those that lie in it, whole or in part.
uint32_t CellTable::lay_out(const Cells& cells, uint32_t low, uint32_t high) {
  if (cells.size() == 1) return cells.values[0];
  if (cells.size() <= kLine) return line(cells);
  const Row inner = row(cells, low, high);
  rows_.push_back(inner);
  return kReference | static_cast<uint32_t>(rows_.size() - 1);
}

uint32_t CellTable::line(const Cells& cells) {
  Line line;
  for (size_t i = 0; i < kLine; ++i) {
    const size_t cell = std::min(i, cells.size() - 1);
    const uint32_t start = i < cells.size() ? cells.starts[i] : ~uint32_t{0};
    line.starts[i / 4][i % 4] = flipped(start);
    line.values[i] = cells.values[cell];
  }
  lines_.push_back(line);
  return kReference | kToLine | static_cast<uint32_t>(lines_.size() - 1);
}

CellTable::Row CellTable::row(const Cells& cells, uint32_t low, uint32_t high) {
  // The same value on both sides: slots are needed for what lies between only.
  if (cells.values.front() == cells.values.back()) {
    low = cells.starts[1];
    high = cells.starts.back() - 1;
  }
  const int width = std::bit_width(high - low);
  const int wanted = std::bit_width(static_cast<uint32_t>(cells.size()));
  const int bits = width <= wanted + kDirectBits ? width : wanted + kSlotBits;
  Row out;
  out.shift = static_cast<uint32_t>(width - bits);
  out.base = low >> out.shift << out.shift;
  out.last = ((high - out.base) >> out.shift) + 1;
  out.first = static_cast<uint32_t>(slots_.size());
  slots_.resize(slots_.size() + out.last + 1, cells.values.back());

  size_t first = 0;
  for (uint32_t i = 0; i < out.last; ++i) {
    const uint32_t from = out.base + (i << out.shift);
    const uint32_t to = from + ((uint32_t{1} << out.shift) - 1);
    while (first + 1 < cells.size() && cells.starts[first + 1] <= from) ++first;
    size_t end = first + 1;
    while (end < cells.size() && cells.starts[end] <= to) ++end;
    const Cells mine{cells.starts.subspan(first, end - first),
                     cells.values.subspan(first, end - first)};
    const uint32_t laid = lay_out(mine, from, to);
    slots_[out.first + i] = laid;
    first = end - 1;
  }
  return out;
}

void CellTable::shrink_to_fit() {
  slots_.shrink_to_fit();
  rows_.shrink_to_fit();
  lines_.shrink_to_fit();
}

size_t CellTable::memory() const noexcept {
  return slots_.size() * sizeof(slots_[0]) + rows_.size() * sizeof(rows_[0]) +
         lines_.size() * sizeof(lines_[0]);
}

}  // namespace fettle
