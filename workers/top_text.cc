#include "workers/top_text.h"

#include <wchar.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "workers/printable.h"

namespace fettle {
namespace {

constexpr size_t kLongestName = 400;

wchar_t code_point(std::string_view sequence) {
  const auto first = static_cast<uint8_t>(sequence[0]);
  if (sequence.size() == 1) return first;
  auto out = static_cast<uint32_t>(first & (0x7fu >> sequence.size()));
  for (const char byte : sequence.substr(1)) out = out << 6 | (static_cast<uint8_t>(byte) & 0x3fu);
  return static_cast<wchar_t>(out);
}

// A letter that the locale does not know is taken for one cell.
size_t sequence_width(std::string_view sequence) {
  const int width = wcwidth(code_point(sequence));
  return width < 0 ? 1 : static_cast<size_t>(width);
}

std::string_view first_sequence(std::string_view text) {
  return text.substr(0, std::max<size_t>(utf8_sequence(text), 1));
}

}  // namespace

std::string text_of(const TopLine& line) {
  std::string out;
  for (const TopPart& part : line) out += part.text;
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

size_t text_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const std::string_view sequence = first_sequence(text);
    width += sequence_width(sequence);
    text.remove_prefix(sequence.size());
  }
  return width;
}

std::string TopText::shown(std::string_view untrusted) const {
  const std::string text = printable(untrusted, kLongestName);
  if (utf8_) return text;
  std::string out;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view sequence = first_sequence(rest);
    out += sequence.size() == 1 ? sequence : "?";
    rest.remove_prefix(sequence.size());
  }
  return out;
}

std::string TopText::cut(std::string_view text, size_t width) const {
  if (text_width(text) <= width) return std::string(text);
  std::string out;
  size_t used = 0;
  while (width > 0) {
    const std::string_view sequence = first_sequence(text);
    const size_t more = sequence_width(sequence);
    if (used + more > width - 1) break;
    used += more;
    out += sequence;
    text.remove_prefix(sequence.size());
  }
  return width == 0 ? out : out + std::string(ellipsis());
}

std::string TopText::left(std::string_view text, size_t width) const {
  std::string out = cut(text, width);
  return out + std::string(width - text_width(out), ' ');
}

std::string TopText::right(std::string_view text, size_t width) const {
  const std::string out = cut(text, width);
  return std::string(width - text_width(out), ' ') + out;
}

std::string TopText::tail(std::string_view text, size_t width) const {
  if (text_width(text) <= width || width == 0) return cut(text, width);
  while (text_width(text) > width - 1) text.remove_prefix(first_sequence(text).size());
  return std::string(ellipsis()) + std::string(text);
}

std::string TopText::bar(double share, size_t cells) const {
  const auto most = static_cast<double>(cells);
  auto full = static_cast<size_t>(std::clamp(std::floor(share * most), 0.0, most));
  if (share > 0) full = std::max<size_t>(full, 1);
  std::string out;
  for (size_t i = 0; i < cells; ++i) {
    out += i < full ? (utf8_ ? "█" : "#") : (utf8_ ? "░" : ".");
  }
  return out;
}

std::string TopText::sparkline(const History& history, double top, size_t cells) const {
  constexpr std::string_view kSigns[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::string_view kAscii = "_.-:=+*#";
  constexpr size_t kLevels = std::size(kSigns);
  cells = std::min(cells, History::kLength);
  std::string out;
  for (size_t cell = cells; cell-- > 0;) {
    std::optional<double> highest;
    const size_t first = cell * History::kLength / cells;
    const size_t last = (cell + 1) * History::kLength / cells;
    for (size_t ago = first; ago < last; ++ago) {
      if (const auto value = history.ago(ago)) highest = std::max(highest.value_or(0), *value);
    }
    if (!highest) {
      out += ' ';
      continue;
    }
    // What is little is not nothing: the lowest sign is for nothing alone.
    const double share = top > 0 ? std::clamp(*highest / top, 0.0, 1.0) : 0;
    const auto level = static_cast<size_t>(std::ceil(share * (kLevels - 1)));
    out += utf8_ ? kSigns[level] : kAscii.substr(level, 1);
  }
  return out;
}

void TopLineBuilder::add(std::string text, TopStyle style) {
  if (!line_.empty()) line_.push_back({.text = " ", .style = TopStyle::kPlain});
  line_.push_back({.text = std::move(text), .style = style});
}

TopLineBuilder& TopLineBuilder::left(std::string_view text, size_t width, TopStyle style) {
  add(text_.left(text, width), style);
  return *this;
}

TopLineBuilder& TopLineBuilder::right(std::string_view text, size_t width, TopStyle style) {
  add(text_.right(text, width), style);
  return *this;
}

}  // namespace fettle
