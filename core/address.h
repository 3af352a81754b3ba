// IPv4 and IPv6 addresses and prefixes: parse, print, contain. Plain values, 16 + 1 bytes.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fettle {

enum class Family : uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6 };

struct Address {
  // Network order; an IPv4 address takes the first 4 bytes and leaves the rest zero.
  std::array<std::byte, 16> bytes{};
  Family family = Family::kNone;

  auto operator<=>(const Address&) const = default;

  uint32_t size() const { return family == Family::kIpv4 ? 4 : 16; }
  uint32_t bits() const { return size() * 8; }
  std::span<const std::byte> span() const { return {bytes.data(), size()}; }

  static Address ipv4(uint32_t host_order);
  // Reads 4 or 16 bytes in network order, by the family.
  static Address from_bytes(Family family, const std::byte* at);
  // inet_pton(3)'s forms; nothing else, so no "10.1" and no octal.
  static std::optional<Address> parse(std::string_view text);
  std::string to_string() const;
  // The same into a buffer, without a terminating zero; returns how many bytes it took.
  static constexpr size_t kLongestText = 46;  // INET6_ADDRSTRLEN
  size_t write(std::array<char, kLongestText>* out) const noexcept;
};

struct Prefix {
  Address address;     // host bits are zero
  uint8_t length = 0;  // 0..address.bits()

  auto operator<=>(const Prefix&) const = default;

  bool contains(const Address& other) const;
  bool is_host() const { return length == address.bits(); }

  // "10.0.0.0/8", "2001:db8::/32", or an address alone (a host prefix). Host bits that are set are
  // refused. On refusal *expected says what should have stood there.
  static std::optional<Prefix> parse(std::string_view text, std::string* expected = nullptr);
  std::string to_string() const;
};

// The address with all bits beyond `length` cleared.
Address mask_address(const Address& address, uint32_t length);

}  // namespace fettle
