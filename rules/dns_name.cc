#include "rules/dns_name.h"

#include <algorithm>
#include <cstring>

#include "core/bytes.h"

namespace fettle {
namespace {

constexpr uint8_t kPointer = 0xc0;
constexpr uint32_t kLongestLabel = 63;
constexpr uint32_t kFarthest = 0x3fff;  // that a pointer holds
constexpr uint32_t kIpv4Labels = 4;
constexpr uint32_t kIpv6Labels = 32;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_label(std::string_view label, std::string_view word) {
  return std::ranges::equal(label, word, {}, lower);
}

std::optional<uint32_t> decimal(std::string_view label) {
  if (label.empty() || label.size() > 3 || (label.size() > 1 && label[0] == '0'))
    return std::nullopt;
  uint32_t out = 0;
  for (const char c : label) {
    if (c < '0' || c > '9') return std::nullopt;
    out = out * 10 + static_cast<uint32_t>(c - '0');
  }
  return out <= 255 ? std::optional(out) : std::nullopt;
}

std::optional<uint32_t> nibble(std::string_view label) {
  if (label.size() != 1) return std::nullopt;
  const char c = lower(label[0]);
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a' + 10);
  return std::nullopt;
}

// The `digits` of a number as a label.
struct Digits {
  std::array<char, 3> text;
  uint32_t size = 0;
  std::string_view view() const { return {text.data(), size}; }
};
Digits to_decimal(uint32_t byte) {
  Digits out;
  if (byte >= 100) out.text[out.size++] = static_cast<char>('0' + byte / 100);
  if (byte >= 10) out.text[out.size++] = static_cast<char>('0' + byte / 10 % 10);
  out.text[out.size++] = static_cast<char>('0' + byte % 10);
  return out;
}

// FNV-1a of a label, behind which the rest of its name has the hash given.
uint32_t hash_of(std::string_view label, uint32_t rest) {
  uint32_t out = rest ^ static_cast<uint32_t>(label.size());
  for (const char c : label) out = (out ^ static_cast<uint8_t>(c)) * 0x01000193;
  return out * 0x01000193;
}

}  // namespace

std::string_view DnsName::label(uint32_t i) const {
  const std::byte* const at = bytes_.data() + begins_[i];
  return {reinterpret_cast<const char*>(at) + 1, load_u8(at)};
}

std::span<const std::byte> DnsName::from(uint32_t i) const {
  const uint32_t begin = i < count_ ? begins_[i] : size_ - 1;
  return {bytes_.data() + begin, size_ - begin};
}

void DnsName::clear() {
  size_ = count_ = 0;
  compressed_ = false;
}

bool DnsName::append(std::string_view label) {
  if (size_ + 1 + label.size() + 1 > kLongest) return false;
  begins_[count_++] = static_cast<uint8_t>(size_);
  bytes_[size_++] = static_cast<std::byte>(label.size());
  std::memcpy(bytes_.data() + size_, label.data(), label.size());
  size_ += static_cast<uint32_t>(label.size());
  return true;
}

void DnsName::end() { bytes_[size_++] = std::byte{0}; }

std::optional<Address> DnsName::reverse_address() const {
  const bool narrow = count_ == kIpv4Labels + 2;
  if (!narrow && count_ != kIpv6Labels + 2) return std::nullopt;
  if (!is_label(label(count_ - 1), "arpa")) return std::nullopt;
  if (!is_label(label(count_ - 2), narrow ? "in-addr" : "ip6")) return std::nullopt;
  Address out;
  out.family = narrow ? Family::kIpv4 : Family::kIpv6;
  const uint32_t parts = count_ - 2;
  for (uint32_t i = 0; i < parts; ++i) {  // the last part stands first
    const auto number = narrow ? decimal(label(i)) : nibble(label(i));
    if (!number) return std::nullopt;
    const uint32_t part = parts - 1 - i;
    std::byte& byte = out.bytes[narrow ? part : part / 2];
    byte = narrow ? static_cast<std::byte>(*number)
                  : byte | static_cast<std::byte>(part % 2 == 0 ? *number << 4 : *number);
  }
  return out;
}

void DnsName::set_reverse_address(const Address& address) {
  const DnsName before = *this;
  clear();
  for (uint32_t i = address.size(); i-- > 0;) {
    const auto byte = std::to_integer<uint32_t>(address.bytes[i]);
    if (address.family == Family::kIpv4) {
      append(to_decimal(byte).view());
      continue;
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    append(kDigits.substr(byte & 0xf, 1));
    append(kDigits.substr(byte >> 4, 1));
  }
  append(before.label(before.count_ - 2));
  append(before.label(before.count_ - 1));
  end();
  compressed_ = before.compressed_;
}

std::optional<uint32_t> DnsNameReader::read(uint32_t at, DnsName* name) {
  name->clear();
  uint32_t behind = 0;
  uint32_t limit = at;  // pointers lead before it, each farther than the last
  while (work_-- > 0) {
    if (at >= message_.size()) break;
    const uint32_t length = load_u8(&message_[at]);
    const size_t left = message_.size() - at;
    if (behind == 0 && at < kPointers) begins_.set(at);
    if (length >= kPointer) {
      if (left < 2) break;
      if (behind == 0) behind = at + 2;
      at = load_be16(&message_[at]) & kFarthest;
      if (at >= limit || !begins_[at]) break;
      limit = at;
      name->compressed_ = true;
      continue;
    }
    if (length > kLongestLabel || left < 1 + length) break;
    if (length == 0) {
      name->end();
      return behind == 0 ? at + 1 : behind;
    }
    if (!name->append({reinterpret_cast<const char*>(&message_[at]) + 1, length})) break;
    at += 1 + length;
  }
  work_ = 0;  // a message with such a name is not read on
  return std::nullopt;
}

bool DnsNameWriter::is_same(uint32_t at, std::span<const std::byte> name) const {
  for (;;) {
    const uint32_t length = load_u8(&message_[at]);
    if (length >= kPointer) {
      at = load_be16(&message_[at]) & kFarthest;
      continue;
    }
    const uint32_t size = 1 + length;
    if (size > name.size() || std::memcmp(&message_[at], name.data(), size) != 0) return false;
    if (length == 0) return true;
    name = name.subspan(size);
    at += size;
  }
}

uint32_t DnsNameWriter::find(uint32_t hash, const DnsName& name, uint32_t label) const {
  constexpr uint32_t kProbes = 8;
  for (uint32_t i = 0; i < kProbes; ++i) {
    const Entry& entry = known_[(hash + i) % known_.size()];
    if (entry.at == 0) return 0;
    if (entry.hash == hash && is_same(entry.at, name.from(label))) return entry.at;
  }
  return 0;
}

void DnsNameWriter::remember(uint32_t hash, uint32_t at) {
  constexpr uint32_t kProbes = 8;
  if (at > kFarthest) return;
  for (uint32_t i = 0; i < kProbes; ++i) {
    Entry& entry = known_[(hash + i) % known_.size()];
    if (entry.at != 0) continue;
    entry = {.hash = hash, .at = at};
    return;
  }
}

std::optional<uint32_t> DnsNameWriter::write(uint32_t at, const DnsName& name, bool compress) {
  constexpr uint32_t kRoot = 0x811c9dc5;
  std::array<uint32_t, DnsName::kMostLabels> hashes;
  uint32_t hash = kRoot;
  for (uint32_t i = name.labels(); i-- > 0;) hashes[i] = hash = hash_of(name.label(i), hash);
  uint32_t kept = name.labels();  // labels written out, before a pointer
  uint32_t target = 0;
  for (uint32_t i = 0; compress && i < name.labels(); ++i) {
    target = find(hashes[i], name, i);
    if (target == 0) continue;
    kept = i;
    break;
  }
  const std::span<const std::byte> all = name.from(0);
  const std::span<const std::byte> rest = name.from(kept);
  const auto size = static_cast<uint32_t>(all.size() - rest.size());
  const uint32_t tail = target != 0 ? 2 : 1;
  if (at > message_.size() || size + tail > message_.size() - at) return std::nullopt;
  std::memcpy(message_.data() + at, all.data(), size);
  if (target != 0) {
    store_be16(message_.data() + at + size, static_cast<uint16_t>(kPointer << 8 | target));
  } else {
    message_[at + size] = std::byte{0};
  }
  uint32_t label_at = at;
  for (uint32_t i = 0; i < kept; ++i) {
    remember(hashes[i], label_at);
    label_at += 1 + static_cast<uint32_t>(name.label(i).size());
  }
  return at + size + tail;
}

}  // namespace fettle
