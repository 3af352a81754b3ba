#include "rules/diagnostic.h"

#include <algorithm>

#include <fmt/format.h>

namespace fettle {
namespace {

constexpr size_t kLongestExcerpt = 200;  // characters; a longer line is cut

std::string_view line_of(std::string_view text, uint32_t number) {
  for (uint32_t line = 1; line < number; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

// What may go to a terminal: control characters would move the caret or worse.
std::string printable(std::string_view line) {
  std::string out;
  size_t characters = 0;
  for (const char byte : line) {
    if (begins_character(byte) && ++characters > kLongestExcerpt) return out + "...";
    const bool control = (static_cast<unsigned char>(byte) < 0x20 && byte != '\t') || byte == 0x7f;
    out += control ? '?' : byte;
  }
  return out;
}

// Spaces up to a column, tabs kept so that the caret stands where the terminal puts the character.
std::string indent_to(std::string_view line, uint32_t column) {
  std::string out;
  uint32_t at = 1;
  for (const char byte : line) {
    if (!begins_character(byte)) continue;
    if (at++ >= column) return out;
    out += byte == '\t' ? '\t' : ' ';
  }
  while (at++ < column) out += ' ';
  return out;
}

}  // namespace

std::string render(const Diagnostic& diagnostic, const Sources& sources) {
  const Location& where = diagnostic.where;
  const bool known = where.file < sources.names.size();
  std::string out = known ? sources.names[where.file] : "";
  if (where.line > 0) out += fmt::format(":{}:{}", where.line, where.column);
  out += fmt::format(": {}: {}", diagnostic.severity == Severity::kError ? "error" : "warning",
                     diagnostic.message);
  if (where.line == 0 || where.file >= sources.texts.size()) return out;
  const std::string_view line = line_of(sources.texts[where.file], where.line);
  if (where.column > kLongestExcerpt) return out;
  const uint32_t room = static_cast<uint32_t>(
      std::max<long>(1, std::ranges::count_if(line, begins_character) + 1 - long{where.column}));
  const uint32_t width = std::clamp(diagnostic.width, 1u, room);
  out += fmt::format("\n{:>5} | {}\n      | {}^{}", where.line, printable(line),
                     indent_to(line, where.column), std::string(width - 1, '~'));
  return out;
}

std::string render(const std::vector<Diagnostic>& diagnostics, const Sources& sources) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (!out.empty()) out += '\n';
    out += render(diagnostic, sources);
  }
  return out;
}

namespace {

// Damerau and Levenshtein's distance, adjacent letters swapped counting as one slip.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> row(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) row[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) row[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t other = a[i - 1] != b[j - 1];
      row[i][j] = std::min({row[i - 1][j] + 1, row[i][j - 1] + 1, row[i - 1][j - 1] + other});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[i][j] = std::min(row[i][j], row[i - 2][j - 2] + 1);
      }
    }
  }
  return row[a.size()][b.size()];
}

}  // namespace

std::string_view nearest_word(std::string_view word,
                              const std::vector<std::string_view>& candidates) {
  constexpr size_t kLongestWord = 40;
  if (word.size() > kLongestWord) return "";
  std::string_view nearest;
  size_t best = std::clamp<size_t>(word.size() / 3, 1, 3) + 1;
  for (const std::string_view candidate : candidates) {
    const size_t far = distance(word, candidate);
    if (far < best) {
      best = far;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace fettle
