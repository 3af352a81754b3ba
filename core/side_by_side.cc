#include "core/side_by_side.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "core/bytes.h"

namespace fettle {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kRed = "\033[1;31m";
constexpr std::string_view kGreen = "\033[1;32m";
constexpr std::string_view kPlain = "\033[0m";
constexpr size_t kPerLine = 8;
constexpr size_t kColumn = 5 + 3 * kPerLine + 2 + kPerLine;  // offset, hex, text

// The place up to which bytes of both sides are compared from the front, and from which on from the
// back: the first one at which the fewest differ. The shorter side's length where both are equal.
size_t find_gap(Bytes left, Bytes right) {
  const Bytes shorter = left.size() <= right.size() ? left : right;
  const Bytes longer = left.size() <= right.size() ? right : left;
  const size_t more = longer.size() - shorter.size();
  if (more == 0) return shorter.size();
  size_t now = 0;  // bytes that differ with the gap at `at`
  for (size_t i = 0; i < shorter.size(); ++i) now += shorter[i] != longer[i + more];
  size_t best = now;
  size_t gap = 0;
  for (size_t at = 0; at < shorter.size(); ++at) {
    now += shorter[at] != longer[at];
    now -= shorter[at] != longer[at + more];
    if (now >= best) continue;
    best = now;
    gap = at + 1;
  }
  return gap;
}

// A place of either side; at the gap one of the sides has none.
struct Pair {
  size_t left, right;
  bool has_left, has_right, differs;
};

std::vector<Pair> align(Bytes left, Bytes right) {
  const size_t gap = find_gap(left, right);
  const size_t gap_size = std::max(left.size(), right.size()) - std::min(left.size(), right.size());
  const bool left_is_longer = left.size() > right.size();
  std::vector<Pair> out;
  out.reserve(std::max(left.size(), right.size()));
  size_t l = 0;
  size_t r = 0;
  while (l < left.size() || r < right.size()) {
    const bool in_gap = out.size() >= gap && out.size() < gap + gap_size;
    const bool has_left = !in_gap || left_is_longer;
    const bool has_right = !in_gap || !left_is_longer;
    out.push_back({l, r, has_left, has_right, in_gap || left[l] != right[r]});
    l += has_left;
    r += has_right;
  }
  return out;
}

// One side of one line.
class Column {
 public:
  Column(Bytes bytes, bool colour, std::string_view paint) : bytes_(bytes) {
    if (colour) paint_ = paint;
  }

  void begin(size_t offset) { hex_ = fmt::format("{:04x} ", offset), text_.clear(), shown_ = 0; }
  void add(size_t at, bool here, bool differs) {
    const uint8_t byte = here ? load_u8(bytes_.data() + at) : uint8_t{0};
    const char letter = !here ? ' ' : byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
    const std::string number = here ? fmt::format("{:02x}", byte) : "--";
    if (differs && !paint_.empty()) {
      hex_ += fmt::format("{}*{}{}", paint_, number, kPlain);
      text_ += fmt::format("{}{}{}", paint_, letter, kPlain);
    } else {
      hex_ += fmt::format("{}{}", differs ? '*' : ' ', number);
      text_ += letter;
    }
    ++shown_;
  }
  void end(std::string* out, bool pad) const {
    *out += hex_ + std::string(3 * (kPerLine - shown_) + 2, ' ') + text_;
    if (pad) *out += std::string(kPerLine - shown_, ' ');
  }

 private:
  Bytes bytes_;
  std::string_view paint_;
  std::string hex_, text_;
  size_t shown_ = 0;
};

}  // namespace

std::string side_by_side(Bytes left, Bytes right, const SideBySide& style) {
  const std::vector<Pair> pairs = align(left, right);
  const size_t lines = (pairs.size() + kPerLine - 1) / kPerLine;
  std::vector<bool> shown(lines, style.whole);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (!pairs[i].differs) continue;
    const size_t line = i / kPerLine;
    for (size_t near = line > 0 ? line - 1 : 0; near <= line + 1 && near < lines; ++near) {
      shown[near] = true;
    }
  }
  std::string out = fmt::format("{:<{}}   {}\n", style.left, kColumn, style.right);
  Column mine(left, style.colour, kRed);
  Column theirs(right, style.colour, kGreen);
  for (size_t line = 0; line < lines; ++line) {
    if (!shown[line]) {
      if (line == 0 || shown[line - 1]) out += "...\n";
      continue;
    }
    const size_t first = line * kPerLine;
    mine.begin(pairs[first].left);
    theirs.begin(pairs[first].right);
    for (size_t i = first; i < std::min(first + kPerLine, pairs.size()); ++i) {
      mine.add(pairs[i].left, pairs[i].has_left, pairs[i].differs);
      theirs.add(pairs[i].right, pairs[i].has_right, pairs[i].differs);
    }
    mine.end(&out, true);
    out += "   ";
    theirs.end(&out, false);
    out += '\n';
  }
  return out;
}

std::vector<Difference> differences(Bytes left, Bytes right) {
  std::vector<Difference> out;
  bool open = false;
  for (const Pair& pair : align(left, right)) {
    if (pair.differs && !open) {
      out.push_back({static_cast<uint32_t>(pair.left), static_cast<uint32_t>(pair.left),
                     static_cast<uint32_t>(pair.right), static_cast<uint32_t>(pair.right)});
    }
    open = pair.differs;
    if (!open) continue;
    out.back().to = static_cast<uint32_t>(pair.left + pair.has_left);
    out.back().right_to = static_cast<uint32_t>(pair.right + pair.has_right);
  }
  return out;
}

}  // namespace fettle
