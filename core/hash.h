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

}  // namespace fettle
