#include "rules/replacement.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>

#include <fmt/format.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace fettle {
namespace {

constexpr uint32_t kMostGroups = 99;

std::string message_of(int error) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(error, text, sizeof text);
  return std::string(reinterpret_cast<const char*>(text));
}

std::string quoted(std::string_view with, size_t at, size_t size) {
  return fmt::format("\"{}\" at {}", with.substr(at, size), at + 1);
}

}  // namespace

void Replacement::FreeCode::operator()(pcre2_real_code_8* code) const noexcept {
  pcre2_code_free(code);
}

std::expected<Replacement, std::string> Replacement::make(const PatternMatch& pattern,
                                                          std::string_view with, bool* in_pattern) {
  Replacement out;
  *in_pattern = true;
  int error = 0;
  PCRE2_SIZE at = 0;
  const uint32_t options = PCRE2_NEVER_UTF | (pattern.ignore_case ? PCRE2_CASELESS : 0u);
  out.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.pattern.data()),
                                pattern.pattern.size(), options, &error, &at, nullptr));
  if (!out.code_) {
    return std::unexpected(fmt::format("{} at its character {}", message_of(error), at + 1));
  }
  const int compiled =
      pcre2_jit_compile(out.code_.get(), PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  if (compiled != 0) return std::unexpected(message_of(compiled));
  uint32_t behind = 0;
  pcre2_pattern_info(out.code_.get(), PCRE2_INFO_MAXLOOKBEHIND, &behind);
  pcre2_pattern_info(out.code_.get(), PCRE2_INFO_CAPTURECOUNT, &out.groups_);
  // What ^ and \A look at is not counted there.
  out.looks_behind_ = behind > 0 || pattern.pattern.find('^') != std::string::npos ||
                      pattern.pattern.find("\\A") != std::string::npos;
  if (out.groups_ > kMostGroups) {
    return std::unexpected(
        fmt::format("it has {} groups, expected {} at most", out.groups_, kMostGroups));
  }
  *in_pattern = false;
  std::string why;
  if (!out.parse_with(with, &why)) return std::unexpected(std::move(why));
  return out;
}

void Replacement::add_literal(char byte) {
  if (parts_.empty() || parts_.back().group >= 0) {
    parts_.push_back({.group = -1, .first = static_cast<uint32_t>(literals_.size()), .count = 0});
  }
  literals_.push_back(static_cast<std::byte>(byte));
  ++parts_.back().count;
}

bool Replacement::parse_group(std::string_view with, size_t* at, std::string* error) {
  const bool braced = with.substr(*at + 1).starts_with('{');
  const size_t begin = *at + (braced ? 2 : 1);
  size_t end = begin;
  const auto in_name = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isdigit(byte) || (braced && (std::isalnum(byte) || c == '_'));
  };
  while (end < with.size() && in_name(with[end]) && (braced || end - begin < 2)) ++end;
  const std::string name(with.substr(begin, end - begin));
  int number = -1;
  const auto [rest, bad] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (bad != std::errc() || rest != name.data() + name.size()) {
    number = name.empty() ? -1
                          : pcre2_substring_number_from_name(
                                code_.get(), reinterpret_cast<PCRE2_SPTR>(name.c_str()));
  }
  const bool closed = !braced || (end < with.size() && with[end] == '}');
  if (!closed || number < 0 || static_cast<uint32_t>(number) > groups_) {
    *error =
        fmt::format("found {}, expected $0 to ${}, a group's ${{name}}, or $$ for a dollar sign",
                    quoted(with, *at, end - *at + (braced ? 1 : 0)), groups_);
    return false;
  }
  parts_.push_back({.group = number, .first = 0, .count = 0});
  *at = end + (braced ? 1 : 0);
  return true;
}

bool Replacement::parse_with(std::string_view with, std::string* error) {
  constexpr std::string_view kEscapes = "rnt\\$", kBytes = "\r\n\t\\$";
  for (size_t i = 0; i < with.size();) {
    if (with[i] == '$' && with.substr(i + 1).starts_with('$')) {
      add_literal('$');
      i += 2;
    } else if (with[i] == '$') {
      if (!parse_group(with, &i, error)) return false;
    } else if (with[i] != '\\') {
      add_literal(with[i++]);
    } else if (i + 1 < with.size() && kEscapes.find(with[i + 1]) != std::string_view::npos) {
      add_literal(kBytes[kEscapes.find(with[i + 1])]);
      i += 2;
    } else {
      uint8_t byte = 0;
      const char* digits = with.data() + std::min(i + 2, with.size());
      const char* end = with.data() + std::min(i + 4, with.size());
      const bool hex = with.substr(i + 1).starts_with('x') && end - digits == 2 &&
                       std::from_chars(digits, end, byte, 16).ptr == end;
      if (!hex) {
        *error =
            fmt::format("found {}, expected \\xHH, \\r, \\n, \\t, \\\\ or \\$", quoted(with, i, 4));
        return false;
      }
      add_literal(static_cast<char>(byte));
      i += 4;
    }
  }
  return true;
}

bool Replacement::expand(const std::byte* subject, EditWorkspace& workspace,
                         uint32_t* size) const noexcept {
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(workspace.match);
  *size = 0;
  for (const Part& part : parts_) {
    const std::byte* from = literals_.data() + part.first;
    size_t count = part.count;
    if (part.group >= 0) {
      const auto group = static_cast<uint32_t>(part.group);
      if (ends[2 * group] == PCRE2_UNSET || ends[2 * group + 1] < ends[2 * group]) continue;
      from = subject + ends[2 * group];
      count = ends[2 * group + 1] - ends[2 * group];
    }
    if (count > workspace.replacement.size() - *size) return false;
    std::memcpy(workspace.replacement.data() + *size, from, count);
    *size += static_cast<uint32_t>(count);
  }
  return true;
}

uint32_t Replacement::find(const EditText& text, EditWorkspace& workspace,
                           bool* gave_up) const noexcept {
  std::span<const std::byte> subject = text.bytes;
  size_t base = 0;
  if (looks_behind_ && !text.before.empty()) {
    base = text.before.size();
    const size_t size = base + text.bytes.size();
    if (size > workspace.text.size()) {
      *gave_up = true;
      return 0;
    }
    std::ranges::copy(text.before, workspace.text.begin());
    std::ranges::copy(text.bytes, workspace.text.begin() + static_cast<std::ptrdiff_t>(base));
    subject = std::span<const std::byte>(workspace.text).first(size);
  }
  const uint32_t options =
      (text.ends ? 0u : PCRE2_PARTIAL_HARD) | (text.begins || base > 0 ? 0u : PCRE2_NOTBOL);
  const auto* bytes = reinterpret_cast<PCRE2_SPTR>(subject.data());
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(workspace.match);
  for (size_t at = base; at < subject.size();) {
    const int found = pcre2_match(code_.get(), bytes, subject.size(), at, options, workspace.match,
                                  workspace.context);
    if (found == PCRE2_ERROR_NOMATCH) return 0;
    if (found == PCRE2_ERROR_PARTIAL) {
      return static_cast<uint32_t>(subject.size() - std::max<size_t>(ends[0], at));
    }
    uint32_t size = 0;
    if (found < 0 || (ends[1] > ends[0] && !expand(subject.data(), workspace, &size))) {
      *gave_up = true;
      return 0;
    }
    if (ends[1] <= ends[0] || ends[0] < at) {
      at = std::max<size_t>(ends[1], at) + 1;
      continue;
    }
    workspace.list.add(static_cast<uint32_t>(ends[0] - base),
                       static_cast<uint32_t>(ends[1] - ends[0]),
                       std::span<const std::byte>(workspace.replacement).first(size));
    if (workspace.list.full()) return 0;
    at = ends[1];
  }
  return 0;
}

}  // namespace fettle
