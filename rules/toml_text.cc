#include "rules/toml_text.h"

#include <algorithm>

namespace fettle {
namespace {

// The length of the string that begins here, its quotes included; to the end where it has none.
// What follows a backslash must be ASCII, too: it ends there otherwise.
size_t string_length(std::string_view text) {
  const char quote = text[0];
  const bool multi_line = text.size() >= 3 && text[1] == quote && text[2] == quote;
  const bool escapes = quote == '"';
  const std::string_view end = text.substr(0, multi_line ? 3 : 1);
  for (size_t at = end.size(); at < text.size(); ++at) {
    if (escapes && text[at] == '\\') {
      ++at;
      if (at < text.size() && static_cast<unsigned char>(text[at]) >= 0x80) return at;
    } else if (text.substr(at).starts_with(end)) {
      return at + end.size();
    } else if (!multi_line && text[at] == '\n') {
      return at;
    }
  }
  return text.size();
}

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

void advance(Location* where, std::string_view over) {
  for (const char byte : over) {
    if (byte == '\n') {
      ++where->line;
      where->column = 1;
    } else if (begins_character(byte)) {
      ++where->column;
    }
  }
}

}  // namespace

std::optional<Location> misplaced_character(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  constexpr std::string_view kBeforeString = " \t\r\n=,[.{";
  Location where{.file = 0, .line = 1, .column = 1};
  char before = '\n';
  while (!text.empty()) {
    size_t length = 1;
    const bool quote = text[0] == '"' || text[0] == '\'';
    if (quote && kBeforeString.find(before) != std::string_view::npos) {
      length = string_length(text);
    } else if (text[0] == '#') {
      length = std::min(text.find('\n'), text.size());
    } else if (static_cast<unsigned char>(text[0]) >= 0x80) {
      return where;
    }
    advance(&where, text.substr(0, length));
    before = text[length - 1];
    text.remove_prefix(length);
  }
  return std::nullopt;
}

}  // namespace fettle
