// Addresses of arbitrary messages translated: each edit is an address of the table for another, in
// order; Content-Length grows by what the body does; and there and back again is the same message.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "rules/sip_message.h"
#include "rules/text_message.h"
#include "tests/fuzz/input.h"

namespace fettle {
namespace {

using Find = void(const AddressTable&, std::span<const std::byte>, EditList&) noexcept;

using fuzz::check;

AddressTable make_table(bool reverse) {
  std::vector<TableEntry> entries;
  for (const auto& [inside, outside] :
       {std::pair("10.9.1.2", "198.51.100.1"), std::pair("203.0.113.200", "9.9.9.9"),
        std::pair("fd00::2", "2001:db8::200"), std::pair("9.1.0.0/16", "8.1.0.0/16")}) {
    entries.push_back({*Prefix::parse(inside), *Prefix::parse(outside), {}});
  }
  size_t duplicate = 0;
  return std::move(*AddressTable::build(entries, reverse, &duplicate));
}

// Exactly as large as the text, so that a sanitizer sees the first byte beyond.
struct Copy {
  explicit Copy(const std::string& text) : bytes(new std::byte[text.size()]), size(text.size()) {
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), bytes.get());
  }
  std::span<const std::byte> span() const { return {bytes.get(), size}; }
  std::unique_ptr<std::byte[]> bytes;
  size_t size;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string edited(const std::string& text, const EditList& list) {
  std::string out;
  size_t from = 0;
  for (const StreamEdit& edit : list.edits()) {
    check(edit.offset >= from && edit.length > 0 && edit.length <= text.size() - edit.offset);
    out.append(text, from, edit.offset - from).append(text_of(edit.with));
    from = edit.offset + edit.length;
  }
  return out.append(text, from);
}

// Each edit is one address for another of the table.
void check_addresses(const std::string& text, const AddressTable& there, const EditList& list) {
  for (const StreamEdit& edit : list.edits()) {
    const auto address = Address::parse(text.substr(edit.offset, edit.length));
    check(address.has_value());
    const auto translated = there.find(*address);
    check(translated && translated->to_string() == text_of(edit.with));
  }
}

void check_length(const std::string& before, const std::string& after) {
  const auto old = find_content_length(Copy(before).span());
  const auto now = find_content_length(Copy(after).span());
  if (!old) return;
  check(now.has_value());
  const auto grown = static_cast<int64_t>(after.size() - now->body) -
                     static_cast<int64_t>(before.size() - old->body);
  check(static_cast<int64_t>(now->value) == static_cast<int64_t>(old->value) + grown);
}

// The message translated; nothing where that cannot be.
std::optional<std::string> translated(Find* find, const std::string& text,
                                      const AddressTable& table, EditList& list) {
  const Copy message(text);
  list.clear();
  find(table, message.span(), list);
  if (list.full()) return std::nullopt;
  check_addresses(text, table, list);
  const size_t addresses = list.edits().size();
  if (!mend_content_length(message.span(), list)) {
    check(list.edits().size() == addresses);
    return std::nullopt;
  }
  std::string out = edited(text, list);
  check_length(text, out);
  return out;
}

void try_one(Find* find, const std::string& text, EditList& list) {
  static const AddressTable there = make_table(false);
  static const AddressTable back = make_table(true);
  // Numbers and addresses may come in several notations and leave in one: from the second time on
  // what was translated there and back is the same.
  std::optional<std::string> out = translated(find, text, there, list);
  std::string before;
  for (int round = 0; out && round < 2; ++round) {
    before = *out;
    const auto home = translated(find, *out, back, list);
    out = home ? translated(find, *home, there, list) : std::nullopt;
  }
  check(!out || *out == before);
}

}  // namespace
}  // namespace fettle

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  static const auto list = std::make_unique<EditList>();
  const std::string text(reinterpret_cast<const char*>(data), size);
  try_one(find_sip, text, *list);
  try_one(find_sdp, text, *list);
  return 0;
}
