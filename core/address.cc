#include "core/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "core/bytes.h"

namespace fettle {

Address Address::ipv4(uint32_t host_order) {
  Address out;
  out.family = Family::kIpv4;
  store_be32(out.bytes.data(), host_order);
  return out;
}

Address Address::from_bytes(Family family, const std::byte* at) {
  Address out;
  out.family = family;
  if (family == Family::kIpv4) {
    std::memcpy(out.bytes.data(), at, 4);
  } else {
    std::memcpy(out.bytes.data(), at, 16);
  }
  return out;
}

std::optional<Address> Address::parse(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof terminated) return std::nullopt;
  text.copy(terminated, text.size());
  terminated[text.size()] = '\0';
  Address out;
  if (inet_pton(AF_INET, terminated, out.bytes.data()) == 1) {
    out.family = Family::kIpv4;
    return out;
  }
  if (inet_pton(AF_INET6, terminated, out.bytes.data()) == 1) {
    out.family = Family::kIpv6;
    return out;
  }
  return std::nullopt;
}

size_t Address::write(std::array<char, kLongestText>* out) const noexcept {
  static_assert(kLongestText == INET6_ADDRSTRLEN);
  if (family == Family::kNone) return std::string_view("none").copy(out->data(), out->size());
  inet_ntop(family == Family::kIpv4 ? AF_INET : AF_INET6, bytes.data(), out->data(), kLongestText);
  return std::strlen(out->data());
}

std::string Address::to_string() const {
  std::array<char, kLongestText> text;
  return {text.data(), write(&text)};
}

Address mask_address(const Address& address, uint32_t length) {
  Address out = address;
  for (uint32_t i = 0; i < out.size(); ++i) {
    const uint32_t bits = length > i * 8 ? length - i * 8 : 0;
    if (bits < 8) out.bytes[i] &= std::byte(0xff00 >> bits);
  }
  return out;
}

bool Prefix::contains(const Address& other) const {
  return other.family == address.family && mask_address(other, length) == address;
}

std::optional<Prefix> Prefix::parse(std::string_view text, std::string* expected) {
  const auto refuse = [&](std::string sentence) -> std::optional<Prefix> {
    if (expected) *expected = std::move(sentence);
    return std::nullopt;
  };
  const size_t slash = text.find('/');
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) return refuse("an IPv4 or IPv6 address or prefix, like 10.0.0.0/8 or 2001:db8::1");
  Prefix out{*address, static_cast<uint8_t>(address->bits())};
  if (slash == std::string_view::npos) return out;

  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > address->bits()) {
    return refuse(fmt::format("a prefix length from 0 to {}", address->bits()));
  }
  out.length = static_cast<uint8_t>(length);
  out.address = mask_address(*address, length);
  if (out.address != *address) {
    return refuse(fmt::format("no bits set beyond /{}, as in {}", length, out.to_string()));
  }
  return out;
}

std::string Prefix::to_string() const {
  return is_host() ? address.to_string() : fmt::format("{}/{}", address.to_string(), length);
}

}  // namespace fettle
