// Text in the cells of a terminal: cut and padded to a width, bars, and histories as sparklines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "workers/top_model.h"

namespace fettle {

// What a part of a line means; who draws it chooses colours for that, or does without.
enum class TopStyle : uint8_t {
  kPlain,
  kTitle,
  kHeading,
  kDim,
  kGood,
  kWarning,
  kBad,
  kBar,
  kPicked
};

struct TopPart {
  std::string text;  // printable UTF-8, or ASCII where that was asked for
  TopStyle style = TopStyle::kPlain;
};
using TopLine = std::vector<TopPart>;

std::string text_of(const TopLine& line);  // without spaces at its end

// In cells, by the locale's wcwidth(): a letter of Chinese has two.
size_t text_width(std::string_view text);

// Everything of one screen is made by one of these.
class TopText {
 public:
  explicit TopText(bool utf8) : utf8_(utf8) {}

  // Untrusted text, made printable; beyond ASCII as question marks where there is no UTF-8.
  std::string shown(std::string_view untrusted) const;
  // Exactly so wide: cut, with a sign of that, or padded. left() has the text at the left.
  std::string left(std::string_view text, size_t width) const;
  std::string right(std::string_view text, size_t width) const;
  // At most so wide, the end of it where it is cut.
  std::string tail(std::string_view text, size_t width) const;
  // `share` of so many cells; one cell at least where it is more than nothing.
  std::string bar(double share, size_t cells) const;
  // The latest at the right; each cell has the highest of the intervals that fall to it. Blank
  // where nothing is known. `top` has the highest sign, 0 the lowest.
  std::string sparkline(const History& history, double top, size_t cells) const;

 private:
  std::string cut(std::string_view text, size_t width) const;
  std::string_view ellipsis() const { return utf8_ ? "…" : "~"; }
  bool utf8_;
};

// Parts of a line, in order, with a space between columns.
class TopLineBuilder {
 public:
  explicit TopLineBuilder(const TopText& text) : text_(text) {}
  TopLineBuilder& left(std::string_view text, size_t width, TopStyle style = TopStyle::kPlain);
  TopLineBuilder& right(std::string_view text, size_t width, TopStyle style = TopStyle::kPlain);
  TopLine take() { return std::move(line_); }

 private:
  void add(std::string text, TopStyle style);
  const TopText& text_;
  TopLine line_;
};

}  // namespace fettle
