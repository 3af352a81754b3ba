// A perfect hash over numbers that are known beforehand: each has a slot of its own, found with one
// byte read. Hash, displace and compress (Belazzougui, Botelho and Dietzfelbinger, ESA 2009): the
// numbers of a bucket share a seed, the first that leads all of them to free slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fettle {

class PerfectHash {
 public:
  // Some 4 slots for 3 numbers, and 0.4 bytes of seeds. The numbers are to be spread over 64 bits.
  // Nothing where a bucket has no seed, for sure where two numbers are the same: hash anew.
  static std::optional<PerfectHash> build(std::span<const uint64_t> hashes);

  uint32_t slots() const noexcept { return slots_; }
  // Below slots(); another one for each number given to build(), and any for others.
  uint32_t slot_of(uint64_t hash) const noexcept {
    return slot_with(seeds_[bucket_of(hash)], hash);
  }
  size_t memory() const noexcept { return seeds_.size(); }

 private:
  struct Buckets;

  explicit PerfectHash(size_t numbers);
  // A range without a division.
  static uint32_t scale(uint64_t hash, uint32_t range) noexcept {
    return static_cast<uint32_t>(((hash >> 32) * range) >> 32);
  }
  uint32_t bucket_of(uint64_t hash) const noexcept {
    return scale(hash, static_cast<uint32_t>(seeds_.size()));
  }
  uint32_t slot_with(uint32_t seed, uint64_t hash) const noexcept {
    return scale((hash ^ seed) * 0x9fb21c651e98df25, slots_);
  }
  bool place(std::span<const uint64_t> bucket, uint8_t& seed, std::vector<bool>& taken) const;

  std::vector<uint8_t> seeds_;  // by bucket
  uint32_t slots_ = 0;
};

}  // namespace fettle
