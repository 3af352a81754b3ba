#include "workers/text_table.h"

#include <algorithm>

#include "workers/printable.h"

namespace fettle {
namespace {

// Characters; those that take two places on a terminal are not looked for.
size_t length_of(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    at += std::max<size_t>(utf8_sequence(text.substr(at)), 1);
  }
  return count;
}

}  // namespace

void TextTable::add_column(std::string_view heading, Column column) {
  headings_.push_back({std::string(heading), column});
}

void TextTable::add_row(std::vector<std::string> cells) {
  cells.resize(headings_.size());
  rows_.push_back(std::move(cells));
}

bool TextTable::shown(size_t column) const {
  return headings_[column].column != Column::kIfAny ||
         std::ranges::any_of(rows_, [&](const auto& row) { return row[column] != "0"; });
}

size_t TextTable::width(size_t column) const {
  size_t out = length_of(headings_[column].text);
  for (const auto& row : rows_) out = std::max(out, length_of(row[column]));
  return out;
}

std::string TextTable::text() const {
  std::vector<std::string> lines(rows_.size() + 1);
  for (size_t column = 0; column < headings_.size(); ++column) {
    if (!shown(column)) continue;
    const Column kind = headings_[column].column;
    const bool right = kind == Column::kNumber || kind == Column::kIfAny;
    const size_t wide = width(column);
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string& cell = i == 0 ? headings_[column].text : rows_[i - 1][column];
      const std::string padding(wide - length_of(cell), ' ');
      if (column > 0) lines[i] += "  ";
      lines[i] += right ? padding + cell : cell + padding;
    }
  }
  std::string out;
  for (std::string& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace fettle
