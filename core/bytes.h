// Network byte order without alignment or aliasing traps. Callers have checked the bounds.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace fettle {

static_assert(std::endian::native == std::endian::little ||
              std::endian::native == std::endian::big);

template <typename T>
constexpr T big_endian(T value) {
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) {
    return std::byteswap(value);
  } else {
    return value;
  }
}

template <typename T>
inline T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <typename T>
inline void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

inline uint8_t load_u8(const std::byte* at) { return std::to_integer<uint8_t>(*at); }
inline uint16_t load_be16(const std::byte* at) { return big_endian(load<uint16_t>(at)); }
inline uint32_t load_be32(const std::byte* at) { return big_endian(load<uint32_t>(at)); }
inline uint64_t load_be64(const std::byte* at) { return big_endian(load<uint64_t>(at)); }

inline void store_u8(std::byte* at, uint8_t value) { *at = std::byte{value}; }
inline void store_be16(std::byte* at, uint16_t value) { store(at, big_endian(value)); }
inline void store_be32(std::byte* at, uint32_t value) { store(at, big_endian(value)); }
inline void store_be64(std::byte* at, uint64_t value) { store(at, big_endian(value)); }

}  // namespace fettle
