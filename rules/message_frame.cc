#include "rules/message_frame.h"

#include <algorithm>
#include <string_view>

#include "core/bytes.h"
#include "rules/text_message.h"

namespace fettle {
namespace {

using State = MessageFrame::State;

constexpr size_t kDnsHeader = 12;  // RFC 1035 4.1.1
constexpr uint16_t kDnsOpcode = 0x7800;
// A start line that has not ended by then is none (RFC 9112 3 asks for 8000 at least).
constexpr size_t kLongestStartLine = 8192;

enum class TextProtocol : uint8_t { kNone, kHttp, kSip, kRtsp };

struct StartLine {
  TextProtocol protocol = TextProtocol::kNone;
  bool answer = false;
  std::string_view status = {};  // of an answer: three characters
};

constexpr struct {
  std::string_view version;  // all of it but the last digit
  TextProtocol protocol;
} kVersions[] = {{"HTTP/1.", TextProtocol::kHttp},
                 {"SIP/2.", TextProtocol::kSip},
                 {"RTSP/1.", TextProtocol::kRtsp},
                 {"RTSP/2.", TextProtocol::kRtsp}};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "VERSION STATUS REASON" or "METHOD TARGET VERSION", without the line's end.
StartLine read_start_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  for (const auto& [version, protocol] : kVersions) {
    const size_t size = version.size() + 1;
    if (line.starts_with(version)) {
      if (line.size() < size + 4 || !is_digit(line[size - 1]) || line[size] != ' ') return {};
      const std::string_view status = line.substr(size + 1, 3);
      if (!std::ranges::all_of(status, is_digit)) return {};
      return {protocol, true, status};
    }
    if (line.size() < size + 4 || !is_digit(line.back())) continue;
    const std::string_view behind = line.substr(line.size() - size - 1);
    const size_t method = line.find(' ');
    if (behind.front() != ' ' || behind.substr(1, version.size()) != version) continue;
    if (method == 0 || method + 1 >= line.size() - size - 1) return {};
    return {protocol, false};
  }
  return {};
}

bool is_text(std::string_view line) {
  return std::ranges::all_of(
      line, [](char c) { return c == '\t' || c == '\r' || static_cast<unsigned char>(c) >= ' '; });
}

bool has_no_body(const StartLine& start) {
  return start.protocol == TextProtocol::kHttp && start.answer &&
         (start.status.front() == '1' || start.status == "204" || start.status == "304");
}

bool may_lack_a_length(const StartLine& start) {
  return start.protocol == TextProtocol::kRtsp ||
         (start.protocol == TextProtocol::kHttp && !start.answer);
}

MessageFrame read_text_frame(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  const size_t first = std::min(text.find_first_not_of("\r\n"), text.size());
  if (first > 0) return {State::kWhole, first};
  const size_t line_end = text.find('\n');
  const std::string_view line = text.substr(0, line_end);
  if (line.size() > kLongestStartLine || !is_text(line)) return {};
  if (line_end == text.npos) return {State::kPart, 0};
  const StartLine start = read_start_line(line);
  if (start.protocol == TextProtocol::kNone) return {};
  MessageHead head(bytes);
  bool says_length = false;
  while (const auto header = head.next()) {
    says_length |= is_header_name(header->name, "content-length") ||
                   is_header_name(header->name, "transfer-encoding");
  }
  if (!head.complete()) return {State::kPart, 0};
  if (has_no_body(start)) return {State::kWhole, head.body()};
  const auto length = find_content_length(bytes.first(head.body()));
  if (!length) {
    if (says_length || !may_lack_a_length(start)) return {};
    return {State::kWhole, head.body()};
  }
  const uint64_t size = head.body() + length->value;
  return {size <= text.size() ? State::kWhole : State::kPart, size, text.size() > head.body()};
}

MessageFrame read_dns_frame(std::span<const std::byte> bytes) {
  if (bytes.size() < kDnsLength) return {State::kPart, 0};
  const uint32_t length = load_be16(bytes.data());
  if (length < kDnsHeader) return {};
  const uint64_t size = kDnsLength + length;
  const bool whole = size <= bytes.size();
  return {whole ? State::kWhole : State::kPart, size, bytes.size() > kDnsLength};
}

}  // namespace

MessageFrame read_frame(Framing framing, std::span<const std::byte> bytes) noexcept {
  switch (framing) {
    case Framing::kText:
      return read_text_frame(bytes);
    case Framing::kDns:
      return read_dns_frame(bytes);
    case Framing::kNone:
      break;
  }
  return {};
}

bool begins_message(Framing framing, std::span<const std::byte> bytes) noexcept {
  if (framing == Framing::kText) {
    const std::string_view text = text_of(bytes);
    const size_t end = text.find('\n');
    return end != text.npos && end <= kLongestStartLine && is_text(text.substr(0, end)) &&
           read_start_line(text.substr(0, end)).protocol != TextProtocol::kNone;
  }
  const MessageFrame frame = read_frame(framing, bytes);
  return frame.state == State::kWhole && frame.size == bytes.size() &&
         (load_be16(&bytes[kDnsLength + 2]) & kDnsOpcode) == 0;
}

}  // namespace fettle
