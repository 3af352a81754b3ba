// A table of text: columns as wide as their cells, two spaces between them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fettle {

class TextTable {
 public:
  enum class Column : unsigned char {
    kNumber,  // right-aligned
    kText,    // left-aligned
    kIfAny    // a number that is left out where it is 0 in all rows
  };
  void add_column(std::string_view heading, Column column);
  // A cell for each column.
  void add_row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // Lines without spaces at their ends.
  std::string text() const;

 private:
  struct Heading {
    std::string text;
    Column column;
  };
  bool shown(size_t column) const;
  size_t width(size_t column) const;

  std::vector<Heading> headings_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace fettle
