// Messages of header lines, an empty line and a body, as HTTP, SIP and RTSP have them: where such a
// message says how long its body is.
//
// Sources: RFC 9112 (HTTP/1.1), 3261 (SIP; 7.3.3 for the compact form), 7826 (RTSP).
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "rules/edit_text.h"

namespace fettle {

// Offsets from the beginning of the message.
struct ContentLength {
  size_t at = 0;    // the number's first digit
  size_t size = 0;  // its digits, 1 or more
  size_t body = 0;  // the first byte behind the empty line; at most the size of what was given
};

// The Content-Length header (in SIP also `l`) of the message that begins at bytes[0]; lines end
// with CRLF or a bare LF. Nothing where the headers do not end within the bytes, there is no such
// header or more than one, its value is no number on one line, or Transfer-Encoding says otherwise
// how long the body is. Reads each byte of the headers a bounded number of times.
std::optional<ContentLength> find_content_length(std::span<const std::byte> bytes) noexcept;

// Adds to `list`, which holds what is to be replaced in the message, what mends its Content-Length
// by as much as the body grows. True: mended, or nothing to mend. False, and nothing is added: the
// length cannot be used, or something replaces it already.
bool mend_content_length(std::span<const std::byte> message, EditList& list) noexcept;

}  // namespace fettle
