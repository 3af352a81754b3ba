#include "workers/printable.h"

#include <cstdint>

#include <fmt/format.h>

namespace fettle {
namespace {

uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

// What the second byte may be, by the first: no overlong forms, surrogates, or more than U+10FFFF.
bool second_fits(uint8_t first, uint8_t second) {
  switch (first) {
    case 0xe0:
      return second >= 0xa0;
    case 0xed:
      return second <= 0x9f;
    case 0xf0:
      return second >= 0x90;
    case 0xf4:
      return second <= 0x8f;
    default:
      return true;
  }
}

// Control characters of Unicode, which some terminals obey: C0, DEL and C1.
bool is_control(std::string_view sequence) {
  const uint8_t first = byte_at(sequence, 0);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && byte_at(sequence, 1) < 0xa0;
}

std::string escape(uint8_t byte) {
  if (byte == '\n') return "\\n";
  if (byte == '\t') return "\\t";
  if (byte == '\r') return "\\r";
  return fmt::format("\\x{:02x}", byte);
}

}  // namespace

size_t utf8_sequence(std::string_view text) {
  if (text.empty()) return 0;
  const uint8_t first = byte_at(text, 0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xc2   ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte_at(text, i) & 0xc0) != 0x80) return 0;
  }
  return second_fits(first, byte_at(text, 1)) ? length : 0;
}

std::string printable(std::string_view text, size_t most) {
  std::string out;
  size_t at = 0;
  while (at < text.size() && at < most) {
    const size_t length = utf8_sequence(text.substr(at));
    const std::string_view sequence = text.substr(at, length);
    if (length == 0 || is_control(sequence)) {
      for (size_t i = 0; i < (length == 0 ? 1 : length); ++i) out += escape(byte_at(text, at + i));
    } else if (sequence == "\\") {
      out += "\\\\";
    } else {
      out += sequence;
    }
    at += length == 0 ? 1 : length;
  }
  return at < text.size() ? out + "..." : out;
}

std::string printable_lines(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_sequence(text.substr(at));
    const std::string_view sequence = text.substr(at, length);
    if (sequence == "\n" || (length > 0 && !is_control(sequence))) {
      out += sequence;
    } else {
      for (size_t i = 0; i < (length == 0 ? 1 : length); ++i) out += escape(byte_at(text, at + i));
    }
    at += length == 0 ? 1 : length;
  }
  return out;
}

}  // namespace fettle
