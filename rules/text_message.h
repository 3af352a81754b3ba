// Messages of header lines, an empty line and a body, as HTTP, SIP and RTSP have them: their header
// lines, and how long such a message says that its body is.
//
// Lines end with CRLF or a bare LF. All work is linear in the message.
//
// Sources: RFC 9112 (HTTP/1.1), 3261 (SIP; 7.3.3 for the compact form), 7826 (RTSP).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "rules/edit_text.h"

namespace fettle {

// The start line and the header lines of a message, in turn.
class MessageHead {
 public:
  struct Line {
    std::string_view name;   // without blanks around; never empty
    std::string_view value;  // likewise, but for the lines that go on with it, ends and all; where
                             // it is empty, too, a part of the message
  };

  explicit MessageHead(std::span<const std::byte> message) noexcept;

  // Without its end; empty where there is none.
  std::string_view start_line() const noexcept { return start_line_; }
  // A SIP message, by its start line: compact names of headers count.
  bool sip() const noexcept;
  // Lines without a colon are passed over. Nothing: the empty line, or the end of what there is.
  std::optional<Line> next() noexcept;
  // After next() gave nothing: there is a start line and the empty line.
  bool complete() const noexcept { return complete_; }
  // Where complete(): the first byte behind the empty line; at most the size of the message.
  size_t body() const noexcept { return at_; }

 private:
  std::optional<std::string_view> line() noexcept;

  std::string_view text_;
  size_t at_ = 0;
  std::string_view start_line_;
  bool complete_ = false;
};

// ASCII's letters in any case.
bool is_header_name(std::string_view text, std::string_view name) noexcept;

// Whether the message has a start line and all of its headers.
bool has_whole_head(std::span<const std::byte> message) noexcept;

// Offsets from the beginning of the message.
struct ContentLength {
  size_t at = 0;       // the number's first digit
  size_t size = 0;     // its digits, 1 or more
  size_t body = 0;     // the first byte behind the empty line; at most the size of what was given
  uint64_t value = 0;  // the number
};

// The Content-Length header (in SIP also `l`) of the message that begins at bytes[0]. Nothing where
// the headers do not end within the bytes, there is no such header or more than one, its value is
// no number on one line, or Transfer-Encoding says otherwise how long the body is.
std::optional<ContentLength> find_content_length(std::span<const std::byte> bytes) noexcept;

// Adds to `list`, which holds what is to be replaced in the message, the edit that mends its
// Content-Length: the old value and the growth of the body, which is what stands behind the empty
// line, as far as the old value reaches. True: mended, or there is nothing to mend, since the body
// stays as long as it is or no header says how long. False, and nothing is added: the headers do
// not say clearly how long the body is (find_content_length() has nothing, though such a header is
// there), an edit lies on both sides of the body's beginning or end, or one overlaps the number; or
// the list is full.
bool mend_content_length(std::span<const std::byte> message, EditList& list) noexcept;

}  // namespace fettle
