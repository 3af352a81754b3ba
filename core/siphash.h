// SipHash-2-4 of whole 64-bit words: a hash whose collisions nobody finds who does not know its
// key. For tables whose entries strangers choose.
//
// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). The words are taken as
// they lie in memory; the last word of the paper's input, which holds its length, is kept.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace fettle {

using SipKey = std::array<uint64_t, 2>;

inline uint64_t siphash(const SipKey& key, std::span<const uint64_t> words) {
  uint64_t a = key[0] ^ 0x736f6d6570736575, b = key[1] ^ 0x646f72616e646f6d;
  uint64_t c = key[0] ^ 0x6c7967656e657261, d = key[1] ^ 0x7465646279746573;
  const auto round = [&] {
    a += b, c += d;
    b = std::rotl(b, 13) ^ a, d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32);
    c += b, a += d;
    b = std::rotl(b, 17) ^ c, d = std::rotl(d, 21) ^ a;
    c = std::rotl(c, 32);
  };
  const auto take = [&](uint64_t word) { d ^= word, round(), round(), a ^= word; };
  for (const uint64_t word : words) take(word);
  take(uint64_t{words.size() * 8} << 56);
  c ^= 0xff;
  for (int i = 0; i < 4; ++i) round();
  return a ^ b ^ c ^ d;
}

}  // namespace fettle
