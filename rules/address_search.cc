#include "rules/address_search.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace fettle {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kLongestIpv4 = 15;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// A text by places that may be before its beginning or behind its end, where there is a 0.
class Reader {
 public:
  explicit Reader(const EditText& text) : text_(text) {}
  char at(int64_t place) const {
    const auto size = static_cast<int64_t>(text_.bytes.size());
    if (place >= size) return 0;
    if (place >= 0) return char_of(text_.bytes[static_cast<size_t>(place)]);
    const auto before = static_cast<int64_t>(text_.before.size());
    return place < -before ? 0 : char_of(text_.before[static_cast<size_t>(before + place)]);
  }
  uint32_t size() const { return static_cast<uint32_t>(text_.bytes.size()); }
  bool ends() const { return text_.ends; }
  Bytes from(uint32_t place) const { return text_.bytes.subspan(place); }

 private:
  static char char_of(std::byte byte) { return static_cast<char>(byte); }
  const EditText& text_;
};

// Four numbers up to 255, no leading zeros, with `between` between them.
struct Quad {
  uint32_t value = 0;
  uint32_t size = 0;      // bytes read
  uint32_t complete = 0;  // numbers
};
Quad read_quad(const Reader& text, uint32_t at, char between) {
  Quad quad;
  const uint32_t begin = at;
  while (quad.complete < 4) {
    uint32_t number = 0, digits = 0;
    while (digits < 3 && is_digit(text.at(at + digits))) {
      number = number * 10 + static_cast<uint32_t>(text.at(at + digits++) - '0');
    }
    if (digits == 0 || number > 255 || (digits > 1 && text.at(at) == '0')) break;
    at += digits;
    quad.value = quad.value << 8 | number;
    ++quad.complete;
    quad.size = at - begin;
    if (quad.complete == 4 || text.at(at) != between) break;
    ++at;
  }
  quad.size = at - begin;
  return quad;
}

bool begins_here(const Reader& text, uint32_t at, char between) {
  const char before = text.at(int64_t{at} - 1);
  return !is_word(before) && before != between;
}

bool ends_here(const Reader& text, uint32_t end, char between) {
  const char next = text.at(end);
  if (between == ',') return !is_digit(next);
  if (is_word(next)) return false;
  return next != between || !is_word(text.at(end + 1));
}

// Adds what the table says; `size` bytes at `at` are the address.
bool add(const AddressTable& table, const Address& address, uint32_t at, uint32_t size,
         AddressForm form, EditList& list) {
  const auto translated = table.find(address);
  if (!translated) return false;
  AddressText written;
  const uint32_t length = write_address(*translated, form, &written);
  return list.add(at, size, std::as_bytes(std::span(written).first(length)));
}

// How much of the end may be the beginning of an address that goes on: a run of its characters,
// none of them of what was found before `from`.
uint32_t open_quad(const Reader& text, uint32_t from, char between) {
  if (text.ends()) return 0;
  uint32_t begin = text.size();
  while (begin > from && text.size() - begin <= kLongestIpv4 &&
         (is_digit(text.at(begin - 1)) || text.at(begin - 1) == between)) {
    --begin;
  }
  if (begin == text.size() || !begins_here(text, begin, between)) return 0;
  const Quad quad = read_quad(text, begin, between);
  const uint32_t end = begin + quad.size;
  // A dot behind four numbers may be a sentence's end, or a fifth part's beginning.
  const bool dot = quad.complete == 4 && between == '.' && text.at(end) == '.';
  return end + (dot ? 1 : 0) == text.size() ? text.size() - begin : 0;
}

uint32_t find_quads(const AddressTable& table, const Reader& text, char between, AddressForm form,
                    EditList& list) {
  uint32_t from = 0;
  while (from < text.size()) {
    const Bytes rest = text.from(from);
    const void* found = std::memchr(rest.data(), between, rest.size());
    if (found == nullptr) break;
    const auto dot =
        static_cast<uint32_t>(static_cast<const std::byte*>(found) - rest.data()) + from;
    uint32_t begin = dot;
    while (begin > from && dot - begin < 3 && is_digit(text.at(begin - 1))) --begin;
    from = dot + 1;
    if (begin == dot || !begins_here(text, begin, between)) continue;
    const Quad quad = read_quad(text, begin, between);
    const uint32_t end = begin + quad.size;
    if (quad.complete < 4 || !ends_here(text, end, between)) continue;
    const bool open =
        !text.ends() &&
        (end == text.size() || (between == '.' && end + 1 == text.size() && text.at(end) == '.'));
    if (open) break;
    if (add(table, Address::ipv4(quad.value), begin, quad.size, form, list)) from = end;
    if (list.full()) return 0;
  }
  return open_quad(text, 0, between);
}

bool in_ipv6(char c) { return is_hex(c) || c == ':' || c == '.'; }

// The run of an IPv6 address's characters around a colon, which may have begun before the text; a
// colon or dot that only joins it to what stands before or behind is none of it.
struct Run {
  int64_t begin, end;
};
Run ipv6_run(const Reader& text, int64_t colon) {
  Run run{colon, colon};
  while (in_ipv6(text.at(run.begin - 1))) --run.begin;
  while (in_ipv6(text.at(run.end))) ++run.end;
  return run;
}
bool only_joins(const Reader& text, int64_t at, int64_t inward) {
  return text.at(at) == '.' || (text.at(at) == ':' && text.at(inward) != ':');
}
Run trimmed(const Reader& text, Run run) {
  if (run.end - run.begin > 2 && only_joins(text, run.begin, run.begin + 1)) ++run.begin;
  if (run.end - run.begin > 2 && only_joins(text, run.end - 1, run.end - 2)) --run.end;
  return run;
}

void find_ipv6(const AddressTable& table, const Reader& text, EditList& list) {
  uint32_t from = 0;
  while (from < text.size()) {
    const Bytes rest = text.from(from);
    const void* found = std::memchr(rest.data(), ':', rest.size());
    if (found == nullptr) return;
    const Run whole = ipv6_run(text, static_cast<const std::byte*>(found) - rest.data() + from);
    const Run run = trimmed(text, whole);
    from = static_cast<uint32_t>(whole.end);
    const bool open = !text.ends() && from == text.size();
    if (open || run.begin < 0 || is_word(text.at(run.begin - 1)) || is_word(text.at(run.end)) ||
        run.end - run.begin >= int64_t{Address::kLongestText}) {
      continue;
    }
    const auto begin = static_cast<uint32_t>(run.begin);
    const auto size = static_cast<uint32_t>(run.end - run.begin);
    const auto address =
        Address::parse({reinterpret_cast<const char*>(text.from(begin).data()), size});
    if (!address || address->family != Family::kIpv6) continue;
    add(table, *address, begin, size, AddressForm::kText, list);
    if (list.full()) return;
  }
}

uint32_t open_ipv6(const Reader& text) {
  if (text.ends()) return 0;
  const int64_t end = text.size();
  Run run{end, end};
  while (in_ipv6(text.at(run.begin - 1)) && end - run.begin <= int64_t{Address::kLongestText} + 1) {
    --run.begin;
  }
  if (end - run.begin > 1 && only_joins(text, run.begin, run.begin + 1)) ++run.begin;
  bool colon = false;
  for (int64_t i = run.begin; i < end; ++i) colon |= text.at(i) == ':';
  const int64_t size = end - run.begin;
  const bool possible = run.begin >= 0 && size > 0 && size <= int64_t{Address::kLongestText} &&
                        (colon || size <= 4) && !is_word(text.at(run.begin - 1));
  return possible ? static_cast<uint32_t>(size) : 0;
}

}  // namespace

AddressBeginnings::AddressBeginnings(const std::vector<TableEntry>& entries, bool reverse,
                                     Family family)
    : both_(std::make_unique<std::bitset<65536>>()) {
  for (const TableEntry& entry : entries) {
    const Prefix& prefix = reverse ? entry.outside : entry.inside;
    if (prefix.address.family == family) add(prefix);
  }
}

void AddressBeginnings::add(const Prefix& prefix) {
  const uint32_t low = load_be16(prefix.address.bytes.data());
  const uint32_t count = prefix.length >= 16 ? 1 : 1u << (16 - prefix.length);
  for (uint32_t i = low; i < low + count; ++i) {
    both_->set(i);
    first_.set(i >> 8);
  }
}

bool AddressBeginnings::may_begin(Bytes bytes) const noexcept {
  return bytes.size() < 2 ? first_[load_u8(bytes.data())] : (*both_)[load_be16(bytes.data())];
}

uint32_t find_binary(const AddressTable& table, const AddressBeginnings& beginnings, Family family,
                     const EditText& text, EditList& list) noexcept {
  const size_t size = family == Family::kIpv4 ? 4 : 16;
  const Bytes bytes = text.bytes;
  size_t at = 0;
  while (at + size <= bytes.size()) {
    if (beginnings.may_begin(bytes.subspan(at, 2))) {
      const auto translated = table.find(Address::from_bytes(family, bytes.data() + at));
      if (translated &&
          list.add(static_cast<uint32_t>(at), static_cast<uint32_t>(size), translated->span())) {
        at += size;
        continue;
      }
      if (list.full()) return 0;
    }
    ++at;
  }
  if (text.ends) return 0;
  for (; at < bytes.size(); ++at) {
    if (beginnings.may_begin(bytes.subspan(at))) return static_cast<uint32_t>(bytes.size() - at);
  }
  return 0;
}

uint32_t find_text(const AddressTable& table, const EditText& text, EditList& list) noexcept {
  const Reader reader(text);
  uint32_t open = 0;
  if (table.has(Family::kIpv6)) {
    find_ipv6(table, reader, list);
    open = open_ipv6(reader);
  }
  if (table.has(Family::kIpv4)) {
    open = std::max(open, find_quads(table, reader, '.', AddressForm::kText, list));
  }
  return open;
}

uint32_t find_comma(const AddressTable& table, const EditText& text, EditList& list) noexcept {
  return find_quads(table, Reader(text), ',', AddressForm::kComma, list);
}

std::optional<WrittenAddress> read_address(Bytes bytes, AddressForm form) noexcept {
  const EditText text{.bytes = bytes, .before = {}};
  const Reader reader(text);
  const char between = form == AddressForm::kComma ? ',' : '.';
  const Quad quad = read_quad(reader, 0, between);
  if (quad.complete == 4 && ends_here(reader, quad.size, between)) {
    return WrittenAddress{Address::ipv4(quad.value), quad.size};
  }
  if (form == AddressForm::kComma) return std::nullopt;
  int64_t end = ipv6_run(reader, 0).end;
  if (end > 2 && only_joins(reader, end - 1, end - 2)) --end;
  if (end >= int64_t{Address::kLongestText} || is_word(reader.at(end))) return std::nullopt;
  const auto size = static_cast<uint32_t>(end);
  const auto address = Address::parse({reinterpret_cast<const char*>(bytes.data()), size});
  if (!address) return std::nullopt;
  return WrittenAddress{*address, size};
}

uint32_t write_address(const Address& address, AddressForm form, AddressText* out) noexcept {
  if (form == AddressForm::kText) return static_cast<uint32_t>(address.write(out));
  char* at = out->data();
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *at++ = ',';
    at = std::to_chars(at, out->data() + out->size(), load_u8(address.bytes.data() + i)).ptr;
  }
  return static_cast<uint32_t>(at - out->data());
}

}  // namespace fettle
