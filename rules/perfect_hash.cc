#include "rules/perfect_hash.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace fettle {

// The numbers by bucket, and the buckets by how many they hold, most first: late ones find few free
// slots.
struct PerfectHash::Buckets {
  std::vector<uint64_t> hashes;
  std::vector<uint32_t> starts;
  std::vector<uint32_t> order;

  Buckets(const PerfectHash& hash, std::span<const uint64_t> all)
      : hashes(all.size()), starts(hash.seeds_.size() + 1), order(hash.seeds_.size()) {
    for (const uint64_t number : all) ++starts[hash.bucket_of(number) + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    std::vector<uint32_t> next(starts.begin(), starts.end() - 1);
    for (const uint64_t number : all) hashes[next[hash.bucket_of(number)]++] = number;
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater{}, [&](uint32_t b) { return of(b).size(); });
  }
  std::span<const uint64_t> of(uint32_t bucket) const {
    return std::span(hashes).subspan(starts[bucket], starts[bucket + 1] - starts[bucket]);
  }
};

PerfectHash::PerfectHash(size_t numbers)
    : seeds_(numbers * 2 / 5 + 1), slots_(static_cast<uint32_t>(numbers + numbers / 3 + 1)) {}

bool PerfectHash::place(std::span<const uint64_t> bucket, uint8_t& seed,
                        std::vector<bool>& taken) const {
  for (uint32_t tried = 0; tried <= std::numeric_limits<uint8_t>::max(); ++tried) {
    size_t placed = 0;
    for (; placed < bucket.size(); ++placed) {
      const uint32_t slot = slot_with(tried, bucket[placed]);
      if (taken[slot]) break;
      taken[slot] = true;
    }
    seed = static_cast<uint8_t>(tried);
    if (placed == bucket.size()) return true;
    while (placed-- > 0) taken[slot_with(tried, bucket[placed])] = false;
  }
  return false;
}

std::optional<PerfectHash> PerfectHash::build(std::span<const uint64_t> hashes) {
  PerfectHash out(hashes.size());
  const Buckets buckets(out, hashes);
  std::vector<bool> taken(out.slots_);
  for (const uint32_t bucket : buckets.order) {
    if (!out.place(buckets.of(bucket), out.seeds_[bucket], taken)) return std::nullopt;
  }
  return out;
}

}  // namespace fettle
