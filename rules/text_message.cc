#include "rules/text_message.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace fettle {
namespace {

constexpr std::string_view kBlanks = " \t";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_name(std::string_view text, std::string_view name) {
  return std::ranges::equal(text, name, {}, lower);
}

std::string_view without_blanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

bool is_number(std::string_view text) {
  constexpr size_t kMostDigits = 18;  // more than any message has, and no overflow
  return !text.empty() && text.size() <= kMostDigits &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// The lines of a message in turn, without their ends.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  std::optional<std::string_view> next() {
    const size_t end = text_.find('\n', at_);
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view line = text_.substr(at_, end - at_);
    at_ = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }
  size_t at() const { return at_; }
  // Whether the next line goes on with the last one's value (RFC 9112 5.2, RFC 3261 7.3.1).
  bool goes_on() const { return at_ < text_.size() && kBlanks.find(text_[at_]) != kBlanks.npos; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

bool is_content_length(std::string_view name, bool sip) {
  return is_name(name, "content-length") || (sip && is_name(name, "l"));
}

}  // namespace

std::optional<ContentLength> find_content_length(std::span<const std::byte> bytes) noexcept {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Lines lines(text);
  const auto first = lines.next();
  if (!first || first->empty()) return std::nullopt;
  const bool sip = first->starts_with("SIP/") || first->find(" SIP/") != std::string_view::npos;
  std::optional<ContentLength> out;
  for (;;) {
    const auto line = lines.next();
    if (!line) return std::nullopt;
    if (line->empty()) break;
    const size_t colon = line->find(':');
    if (colon == std::string_view::npos || kBlanks.find(line->front()) != kBlanks.npos) continue;
    const std::string_view name = without_blanks(line->substr(0, colon));
    if (is_name(name, "transfer-encoding")) return std::nullopt;
    if (!is_content_length(name, sip)) continue;
    const std::string_view value = without_blanks(line->substr(colon + 1));
    if (out || !is_number(value) || lines.goes_on()) return std::nullopt;
    out = ContentLength{static_cast<size_t>(value.data() - text.data()), value.size(), 0};
  }
  if (out) out->body = lines.at();
  return out;
}

bool mend_content_length(std::span<const std::byte> message, EditList& list) noexcept {
  const auto found = find_content_length(message);
  if (!found) return true;
  int64_t growth = 0;
  for (const StreamEdit& edit : list.edits()) {
    if (edit.offset >= found->body) growth += static_cast<int64_t>(edit.with.size()) - edit.length;
  }
  if (growth == 0) return true;
  int64_t value = 0;
  const char* digits = reinterpret_cast<const char*>(message.data()) + found->at;
  std::from_chars(digits, digits + found->size, value);
  value += growth;
  if (value < 0) return false;
  std::array<char, 20> written;
  const auto* const end = std::to_chars(written.begin(), written.end(), value).ptr;
  return list.add(static_cast<uint32_t>(found->at), static_cast<uint32_t>(found->size),
                  std::as_bytes(std::span<const char>(written.data(), end)));
}

}  // namespace fettle
