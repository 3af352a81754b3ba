#include "rules/text_message.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace fettle {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kBlanks = " \t";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_blank(char c) { return kBlanks.find(c) != kBlanks.npos; }

std::string_view without_blanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return text.substr(0, 0);
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

std::optional<uint64_t> number_of(std::string_view text) {
  constexpr size_t kMostDigits = 18;  // more than any message has, and no overflow
  uint64_t number = 0;
  if (text.empty() || text.size() > kMostDigits) return std::nullopt;
  const auto end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || behind != end) return std::nullopt;
  return number;
}

// What the headers say of the body's length.
struct Said {
  std::optional<ContentLength> length;
  bool clear = true;  // else `length` is of no use
  size_t body = 0;    // the message's size where the headers do not end
};

Said look(Bytes message) {
  Said out;
  MessageHead head(message);
  const auto* begin = reinterpret_cast<const char*>(message.data());
  while (const auto line = head.next()) {
    if (is_header_name(line->name, "transfer-encoding")) out.clear = false;
    if (!is_header_name(line->name, "content-length") &&
        !(head.sip() && is_header_name(line->name, "l"))) {
      continue;
    }
    const auto number = number_of(line->value);
    if (out.length || !number) out.clear = false;
    if (!number) continue;
    out.length = ContentLength{.at = static_cast<size_t>(line->value.data() - begin),
                               .size = line->value.size(),
                               .body = 0,
                               .value = *number};
  }
  out.clear &= head.complete();
  out.body = head.complete() ? head.body() : message.size();
  if (out.length) out.length->body = out.body;
  return out;
}

// Bytes by which edits make the part from `begin` to `end` longer; nothing where one of them lies
// in it in part.
std::optional<int64_t> growth_of(const EditList& list, size_t begin, size_t end) {
  int64_t growth = 0;
  for (const StreamEdit& edit : list.edits()) {
    const size_t behind = size_t{edit.offset} + edit.length;
    if (edit.offset >= begin && behind <= end) {
      growth += static_cast<int64_t>(edit.with.size()) - edit.length;
    } else if (behind > begin && edit.offset < end) {
      return std::nullopt;
    }
  }
  return growth;
}

}  // namespace

MessageHead::MessageHead(Bytes message) noexcept
    : text_(reinterpret_cast<const char*>(message.data()), message.size()) {
  if (const auto first = line()) start_line_ = *first;
}

std::optional<std::string_view> MessageHead::line() noexcept {
  const size_t end = text_.find('\n', at_);
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = text_.substr(at_, end - at_);
  at_ = end + 1;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool MessageHead::sip() const noexcept {
  return start_line_.starts_with("SIP/") || start_line_.find(" SIP/") != std::string_view::npos;
}

std::optional<MessageHead::Line> MessageHead::next() noexcept {
  if (start_line_.empty() || complete_) return std::nullopt;
  for (;;) {
    const auto first = line();
    if (!first) return std::nullopt;
    if (first->empty()) {
      complete_ = true;
      return std::nullopt;
    }
    // The next lines go on with the value where they begin with a blank (RFC 9112 5.2, RFC 3261
    // 7.3.1).
    std::string_view last = *first;
    while (at_ < text_.size() && is_blank(text_[at_])) {
      const auto more = line();
      if (!more) return std::nullopt;
      last = *more;
    }
    const size_t colon = first->find(':');
    if (colon == std::string_view::npos || is_blank(first->front())) continue;
    const std::string_view name = without_blanks(first->substr(0, colon));
    if (name.empty()) continue;
    const char* const value = first->data() + colon + 1;
    const auto size = static_cast<size_t>(last.data() + last.size() - value);
    return Line{name, without_blanks({value, size})};
  }
}

bool is_header_name(std::string_view text, std::string_view name) noexcept {
  return std::ranges::equal(text, name, {}, lower, lower);
}

bool has_whole_head(Bytes message) noexcept {
  MessageHead head(message);
  while (head.next()) continue;
  return head.complete();
}

std::optional<ContentLength> find_content_length(Bytes bytes) noexcept {
  const Said said = look(bytes);
  return said.clear ? said.length : std::nullopt;
}

bool mend_content_length(Bytes message, EditList& list) noexcept {
  const Said said = look(message);
  size_t end = message.size();
  if (said.clear && said.length && said.length->value < end - said.body) {
    end = said.body + static_cast<size_t>(said.length->value);
  }
  const auto growth = growth_of(list, said.body, end);
  if (growth == 0) return true;
  if (!growth || !said.clear) return false;
  if (!said.length) return true;
  const int64_t value = static_cast<int64_t>(said.length->value) + *growth;
  if (value < 0) return false;
  std::array<char, std::numeric_limits<int64_t>::digits10 + 1> digits;
  const auto behind = std::to_chars(digits.begin(), digits.end(), value).ptr;
  return list.add(static_cast<uint32_t>(said.length->at), static_cast<uint32_t>(said.length->size),
                  std::as_bytes(std::span(digits.begin(), behind)));
}

}  // namespace fettle
