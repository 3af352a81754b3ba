// Spreads the bits of a number over all of it: MurmurHash3's 64-bit finalizer. Not for what an
// adversary could gain by collisions.
#pragma once

#include <cstdint>

namespace fettle {

constexpr uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 33)) * 0xff51afd7ed558ccd;
  value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53;
  return value ^ (value >> 33);
}

// Of two words, by the two halves of one product (as wyhash does); for tables whose entries no
// stranger chooses.
inline uint64_t mix_pair(uint64_t one, uint64_t other) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = Wide{one ^ 0x9e3779b97f4a7c15} * (other ^ 0xd6e8feb86659fd93);
  return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
}

}  // namespace fettle
