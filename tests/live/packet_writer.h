// Packets put together from parts, with what is left to chance decided by a seed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>

#include "core/bytes.h"

namespace fettle::testing {

class Chance {
 public:
  explicit Chance(uint64_t seed) : engine_(seed) {}
  uint32_t word() { return static_cast<uint32_t>(engine_()); }
  uint8_t byte() { return static_cast<uint8_t>(engine_()); }
  uint32_t below(uint32_t n) { return word() % n; }
  uint32_t between(uint32_t least, uint32_t most) { return least + below(most - least + 1); }
  bool one_in(uint32_t n) { return below(n) == 0; }
  template <typename T, size_t n>
  const T& of(const std::array<T, n>& choice) {
    return choice[below(n)];
  }

 private:
  std::mt19937_64 engine_;
};

// Who talks to whom, so that the recipes' rules match: inside first.
inline constexpr std::array<std::array<const char*, 2>, 6> kPairs4{{{"10.9.1.2", "203.0.113.9"},
                                                                    {"10.9.4.7", "198.51.100.9"},
                                                                    {"10.1.0.3", "203.0.113.53"},
                                                                    {"10.20.4.7", "198.51.100.9"},
                                                                    {"198.51.100.1", "203.0.113.9"},
                                                                    {"10.1.0.2", "10.2.0.2"}}};
inline constexpr std::array<std::array<const char*, 2>, 6> kPairs6{
    {{"fd00:9::2", "2001:db8::9"},
     {"fd00:9:1::7", "2001:db8::9"},
     {"fd00:1::3", "2001:db8::53"},
     {"fd00:1::2", "fd00:2::2"},
     {"2001:db8:1::1", "2001:db8::9"},
     {"fd00:9::3", "2001:db8::5060"}}};

// Bytes at the ends of what fields may hold.
inline constexpr std::array<uint8_t, 12> kEdges{0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xfe, 0xff, 0x45};

// What they say, and to which port.
struct Text {
  uint16_t port;
  std::string_view bytes;
};
inline constexpr size_t kTexts = 11;
const Text& text_of(size_t number);

class PacketWriter {
 public:
  explicit PacketWriter(uint64_t seed) : chance_(seed) {}

 protected:
  std::byte* data() const { return room_.data(); }
  std::span<std::byte> bytes() const { return room_.first(size_); }
  void begin(std::span<std::byte> room) {
    room_ = room;
    size_ = 0;
  }

  // Parts, each behind what is there.
  void put(std::span<const std::byte> bytes);
  void put_random(uint32_t size);
  void put_number(uint32_t value, uint32_t size);
  void put_text(size_t text);
  void put_ip(bool wide, size_t pair, uint8_t protocol);
  void put_udp();
  void put_tcp(uint8_t flags, uint32_t words);
  void put_options(std::span<const uint8_t> types, uint32_t size);
  // Lengths that fit and, with `checksums`, these.
  void seal(bool checksums);
  // By texts, or cut to it.
  void grow_to(uint32_t size);

  Chance chance_;
  std::span<std::byte> room_;
  uint32_t size_ = 0;
};

}  // namespace fettle::testing
