// An arbitrary DNS message is left alone, or says after translation and back what it said before;
// and after the translation no address is left that the table has.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "rules/dns_message.h"
#include "tests/fuzz/input.h"

namespace {

using namespace fettle;
using Bytes = std::span<const std::byte>;

using fuzz::check;

// What a message says, by a decoder of its own: names whole and in lower case, the rest as it is.
class Meaning {
 public:
  explicit Meaning(Bytes message) : message_(message) {}
  std::string text() {
    take(12);
    const uint32_t questions = number(4);
    const uint32_t records = number(6) + number(8) + number(10);
    for (uint32_t i = 0; i < questions; ++i) name(), take(4);
    for (uint32_t i = 0; i < records; ++i) record();
    take(static_cast<uint32_t>(message_.size()) - at_);
    return out_;
  }

 private:
  uint32_t number(uint32_t at) const { return load_be16(&message_[at]); }
  void take(uint32_t count) {
    for (; count > 0; --count) out_ += static_cast<char>(message_[at_++]);
  }
  void name() {
    uint32_t at = at_;
    bool jumped = false;
    for (;;) {
      const uint32_t length = load_u8(&message_[at]);
      if (length >= 0xc0) {
        if (!jumped) at_ = at + 2;
        jumped = true;
        at = number(at) & 0x3fff;
        continue;
      }
      out_ += static_cast<char>(length);
      for (uint32_t i = 1; i <= length; ++i) {
        out_ += static_cast<char>(std::tolower(std::to_integer<int>(message_[at + i])));
      }
      at += 1 + length;
      if (length == 0) break;
    }
    if (!jumped) at_ = at;
  }
  void record() {
    name();
    const uint32_t type = number(at_);
    take(8);
    const uint32_t end = at_ + 2 + number(at_);
    at_ += 2;
    const auto names = [&](uint32_t before, int count) {
      take(before);
      for (; count > 0; --count) name();
    };
    switch (type) {
      case 2:
      case 3:
      case 4:
      case 5:
      case 7:
      case 8:
      case 9:
      case 12:
      case 30:
      case 39:
      case 47:
        names(0, 1);
        break;
      case 6:
      case 14:
      case 17:
        names(0, 2);
        break;
      case 15:
      case 18:
      case 21:
      case 36:
      case 64:
      case 65:
        names(2, 1);
        break;
      case 26:
        names(2, 2);
        break;
      case 33:
        names(6, 1);
        break;
      case 24:
      case 46:
        names(18, 1);
        break;
      case 35:
        take(4);
        for (int i = 0; i < 3; ++i) take(1 + load_u8(&message_[at_]));
        name();
        break;
      default:
        break;
    }
    out_ += "|";
    take(end - at_);
  }

  Bytes message_;
  std::string out_;
  uint32_t at_ = 0;
};

// No address is on both sides.
std::optional<AddressTable> table(bool reverse) {
  const auto entry = [](const char* inside, const char* outside) {
    return TableEntry{*Prefix::parse(inside), *Prefix::parse(outside), {}};
  };
  size_t duplicate = 0;
  return AddressTable::build({entry("0.0.0.0/1", "128.0.0.0/1"), entry("::/1", "8000::/1")},
                             reverse, &duplicate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using Outcome = DnsTranslation::Outcome;
  static const AddressTable there = *table(false);
  static const AddressTable back = *table(true);
  // Exactly as large as the message, so that a sanitizer sees the first byte beyond.
  const std::unique_ptr<std::byte[]> copy(new std::byte[size]);
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, copy.get());
  const Bytes message(copy.get(), size);
  std::vector<std::byte> first(kLongestDnsMessage), second(kLongestDnsMessage);
  const DnsTranslation done = translate_dns(message, there, first);
  if (done.outcome == Outcome::kRefused) return 0;
  const std::string meaning = Meaning(message).text();
  if (done.outcome == Outcome::kUnchanged) return 0;
  const Bytes translated(first.data(), done.size);
  check(Meaning(translated).text() != meaning);
  const Outcome again = translate_dns(translated, there, second).outcome;
  check(again != Outcome::kChanged);
  // What was there of the other side before comes along: only a message without it comes back.
  if (translate_dns(message, back, second).outcome != Outcome::kUnchanged) return 0;
  const DnsTranslation returned = translate_dns(translated, back, second);
  if (returned.outcome == Outcome::kRefused) return 0;  // longer than allowed, for a while
  check(returned.outcome == Outcome::kChanged);
  check(Meaning({second.data(), returned.size}).text() == meaning);
  return 0;
}
