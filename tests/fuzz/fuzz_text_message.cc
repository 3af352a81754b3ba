// The Content-Length of arbitrary text lies within it, is a number, and is found again after it was
// set to the length of the body.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "rules/text_message.h"
#include "tests/fuzz/input.h"

namespace {

std::optional<fettle::ContentLength> find(const std::string& text) {
  // Exactly as large as the text, so that a sanitizer sees the first byte beyond.
  const std::unique_ptr<std::byte[]> bytes(new std::byte[text.size()]);
  std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), bytes.get());
  return fettle::find_content_length({bytes.get(), text.size()});
}

using fettle::fuzz::check;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  const auto found = find(text);
  if (!found) return 0;
  check(found->size > 0 && found->at + found->size <= found->body && found->body <= text.size());
  const std::string digits = text.substr(found->at, found->size);
  check(std::ranges::all_of(digits, [](unsigned char c) { return std::isdigit(c) != 0; }));
  const std::string length = std::to_string(text.size() - found->body);
  text.replace(found->at, found->size, length);
  const auto again = find(text);
  check(again && again->at == found->at && again->size == length.size());
  check(text.size() - again->body == std::stoul(length));
  return 0;
}
