// Where messages end in a stream: of header lines and a body (HTTP, SIP, RTSP), or DNS behind its
// length. Pure functions over what has come so far.
//
// Sources: RFC 9112 6 (HTTP/1.1), 3261 7.5, 18.3 and 20.14 (SIP), 7826 (RTSP), 1035 4.2.2 (DNS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fettle {

enum class Framing : uint8_t {
  kNone,
  kText,  // a start line, header lines, an empty line, a body
  kDns,   // two bytes of length, a DNS message
};

inline constexpr size_t kDnsLength = 2;  // bytes of a DNS message's length, in front of it

struct MessageFrame {
  enum class State : uint8_t {
    kWhole,
    kPart,     // more bytes belong to it
    kUnknown,  // no such message, or one that does not say how long it is
  };
  State state = State::kUnknown;
  uint64_t size = 0;   // of the whole message; kPart: 0 where that is not known yet
  bool begun = false;  // kPart: bytes behind its header are there
};

// Of the message that begins at bytes[0], one byte at least. Empty lines before a text message are
// messages of their own: keep-alives of SIP, and what HTTP has servers skip. A text message:
// - without a start line of HTTP/1, SIP or RTSP is kUnknown, as soon as that can be seen;
// - has as many bytes behind its headers as Content-Length says. Without one a request of HTTP and
//   all of RTSP have none; all others, with several or with Transfer-Encoding, are kUnknown;
// - that answers with 1xx, 204 or 304 in HTTP has none, whatever it says. An answer to HEAD is
//   taken for one whose body has not come.
// Reads each byte a bounded number of times.
MessageFrame read_frame(Framing framing, std::span<const std::byte> bytes) noexcept;

// Whether a message begins at bytes[0], told by nothing but the bytes, where it is not known
// whether the last one ended there: a whole start line; for DNS, a whole query or answer and no
// more.
bool begins_message(Framing framing, std::span<const std::byte> bytes) noexcept;

}  // namespace fettle
