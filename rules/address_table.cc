#include "rules/address_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>
#include <utility>

#include "core/bytes.h"
#include "core/hash.h"
#include "core/prefetch.h"

namespace fettle {
namespace {

constexpr size_t kLengths = 129;
constexpr size_t kGroups = 8;
// A filter is for more entries than the caches hold, and has so many places for one of them.
constexpr size_t kFiltered = 2048;
constexpr size_t kFilterPlaces = 3;
// A level with a smaller part of the entries needs no filter: it is soon in the caches.
constexpr size_t kSmallPart = 32;
constexpr size_t kNoDuplicate = std::numeric_limits<size_t>::max();

template <typename Key>
constexpr Family kFamilyOf = sizeof(Key) == 4 ? Family::kIpv4 : Family::kIpv6;
template <typename Key>
constexpr uint32_t kBits = sizeof(Key) * 8;

template <typename Key>
Key to_key(const Address& address) {
  if constexpr (sizeof(Key) == 4) {
    return load_be32(address.bytes.data());
  } else {
    return Key{load_be64(address.bytes.data())} << 64 | load_be64(address.bytes.data() + 8);
  }
}

// Made where it is to stay: a copy would load at once what was just stored in parts, for which a
// processor has to wait.
template <typename Key>
void to_address(Key key, Address& out) {
  out.family = kFamilyOf<Key>;
  if constexpr (sizeof(Key) == 4) {
    store_be32(out.bytes.data(), key);
  } else {
    store_be64(out.bytes.data(), static_cast<uint64_t>(key >> 64));
    store_be64(out.bytes.data() + 8, static_cast<uint64_t>(key));
  }
}

template <typename Key>
Key network_mask(uint32_t length) {
  return length == 0 ? Key{0} : static_cast<Key>(~Key{0} << (kBits<Key> - length));
}

// Not by what an adversary could gain: no stranger chooses a table's entries.
template <typename Key>
uint64_t hash_of(Key key, uint64_t salt) {
  if constexpr (sizeof(Key) == 4) {
    const uint64_t product = (key ^ salt) * 0xff51afd7ed558ccd;
    return product ^ (product >> 32);
  } else {
    return mix_pair(static_cast<uint64_t>(key >> 64) ^ salt, static_cast<uint64_t>(key) + salt);
  }
}

template <typename Key>
size_t filter_place(Key bits, size_t places) {
  return ((hash_of<Key>(bits, 0) >> 32) * places) >> 32;
}

const Prefix& source(const TableEntry& entry, bool reverse) {
  return reverse ? entry.outside : entry.inside;
}

// Of those that are there twice, the first second one in the order of the file.
template <typename Key>
size_t first_duplicate(const std::vector<Key>& keys, const std::vector<uint32_t>& entries) {
  std::vector<uint32_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](uint32_t i) { return keys[i]; });
  size_t out = kNoDuplicate;
  for (size_t i = 1; i < order.size(); ++i) {
    if (keys[order[i]] != keys[order[i - 1]]) continue;
    out = std::min<size_t>(out, entries[order[i]]);
  }
  return out;
}

// With the first salt for which there is one; nothing where a key is there twice, which *duplicate
// names.
template <typename Key>
std::optional<PerfectHash> hash_keys(const std::vector<Key>& keys,
                                     const std::vector<uint32_t>& entries, uint64_t& salt,
                                     size_t* duplicate) {
  std::vector<uint64_t> hashes(keys.size());
  for (salt = 0;; salt += 0x9e3779b97f4a7c15) {
    std::ranges::transform(keys, hashes.begin(), [&](Key k) { return hash_of<Key>(k, salt); });
    auto made = PerfectHash::build(hashes);
    if (made) return made;
    const size_t second = first_duplicate(keys, entries);
    *duplicate = std::min(*duplicate, second);
    if (second != kNoDuplicate) return std::nullopt;
  }
}

}  // namespace

// Hashes as many bits as the shortest of the large levels has: of longer prefixes the first ones.
template <typename Key>
void AddressTable::add_filter(Store<Key>& store, const std::vector<Part<Key>>& parts) {
  size_t count = 0;
  for (const Part<Key>& part : parts) count += part.keys.size();
  if (parts.size() < 2 || count < kFiltered) return;
  Filter<Key>& filter = store.filter;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].keys.size() >= count / kSmallPart) filter.mask = store.levels[i].mask;
  }
  filter.groups.resize(count * kFilterPlaces);
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto group = static_cast<uint8_t>(1 << i % kGroups);
    if (store.levels[i].mask < filter.mask) {
      filter.always |= group;
      continue;
    }
    for (const Key key : parts[i].keys) {
      filter.groups[filter_place<Key>(key & filter.mask, filter.groups.size())] |= group;
    }
  }
}

template <typename Key>
void AddressTable::fill(Store<Key>& store, const std::vector<TableEntry>& entries, bool reverse,
                        size_t* duplicate) {
  std::array<Part<Key>, kLengths> by_length;
  for (size_t i = 0; i < entries.size(); ++i) {
    const Prefix& from = source(entries[i], reverse);
    if (from.address.family != kFamilyOf<Key>) continue;
    by_length[from.length].entries.push_back(static_cast<uint32_t>(i));
    by_length[from.length].keys.push_back(to_key<Key>(from.address));
  }
  std::vector<Part<Key>> parts;
  for (size_t length = kLengths; length-- > 0;) {
    Part<Key>& part = by_length[length];
    if (part.keys.empty()) continue;
    uint64_t salt = 0;
    auto hash = hash_keys(part.keys, part.entries, salt, duplicate);
    if (!hash) continue;
    const auto value = [&](size_t i) {
      return to_key<Key>(source(entries[part.entries[i]], !reverse).address);
    };
    std::vector<Slot<Key>> slots(hash->slots(), Slot<Key>{part.keys[0], value(0)});
    for (size_t i = 0; i < part.keys.size(); ++i) {
      slots[hash->slot_of(hash_of<Key>(part.keys[i], salt))] = {part.keys[i], value(i)};
    }
    store.levels.push_back({network_mask<Key>(static_cast<uint32_t>(length)), salt,
                            *std::move(hash), std::move(slots)});
    parts.push_back(std::move(part));
  }
  add_filter(store, parts);
}

std::optional<AddressTable> AddressTable::build(const std::vector<TableEntry>& entries,
                                                bool reverse, size_t* duplicate) {
  AddressTable table;
  table.size_ = entries.size();
  size_t found = kNoDuplicate;
  fill(table.narrow_, entries, reverse, &found);
  fill(table.wide_, entries, reverse, &found);
  if (found == kNoDuplicate) return table;
  *duplicate = found;
  return std::nullopt;
}

template <typename Key>
uint32_t AddressTable::groups_of(const Store<Key>& store, Key whole) noexcept {
  const Filter<Key>& filter = store.filter;
  if (filter.groups.empty()) return (1u << kGroups) - 1;
  const Key bits = whole & filter.mask;
  return filter.groups[filter_place<Key>(bits, filter.groups.size())] | filter.always;
}

template <typename Key>
const AddressTable::Slot<Key>& AddressTable::slot_of(const Level<Key>& level, Key key) noexcept {
  return level.slots[level.hash.slot_of(hash_of<Key>(key, level.salt))];
}

template <typename Key>
std::optional<Address> AddressTable::find_in(const Store<Key>& store,
                                             const Address& address) noexcept {
  std::optional<Address> out;
  const Key whole = to_key<Key>(address);
  const uint32_t groups = groups_of(store, whole);
  for (size_t first = 0; first < store.levels.size(); first += kGroups) {
    for (uint32_t left = groups; left != 0; left &= left - 1) {
      const size_t i = first + static_cast<size_t>(std::countr_zero(left));
      if (i >= store.levels.size()) break;
      const Level<Key>& level = store.levels[i];
      const Slot<Key>& slot = slot_of(level, whole & level.mask);
      if (slot.key != (whole & level.mask)) continue;
      to_address<Key>(slot.value | (whole & ~level.mask), out.emplace());
      return out;
    }
  }
  return out;
}

std::optional<Address> AddressTable::find(const Address& address) const noexcept {
  if (address.family == Family::kIpv4) return find_in(narrow_, address);
  if (address.family == Family::kIpv6) return find_in(wide_, address);
  return std::nullopt;
}

// The two levels that find() will look at first; where it is one or none, that line is asked for
// twice or for nothing. A branch on what the filter says would be foretold wrongly and make every
// packet of a batch wait for its own byte of the filter.
template <typename Key>
void AddressTable::prefetch_in(const Store<Key>& store, const Address& address) noexcept {
  if (store.levels.empty()) return;
  const Key whole = to_key<Key>(address);
  const size_t last = store.levels.size() - 1;
  const uint32_t groups = groups_of(store, whole);
  const auto one = static_cast<size_t>(std::countr_zero(groups | 1u << kGroups));
  const auto two = static_cast<size_t>(std::countr_zero((groups & (groups - 1)) | 1u << kGroups));
  for (const size_t i : {std::min(one, last), std::min(two, last)}) {
    const Level<Key>& level = store.levels[i];
    prefetch_line(&slot_of(level, whole & level.mask));
  }
}

void AddressTable::prefetch(const Address& address) const noexcept {
  if (address.family == Family::kIpv4) prefetch_in(narrow_, address);
  if (address.family == Family::kIpv6) prefetch_in(wide_, address);
}

template <typename Key>
size_t AddressTable::memory_of(const Store<Key>& store) noexcept {
  size_t out = store.filter.groups.size();
  for (const Level<Key>& level : store.levels) {
    out += level.slots.size() * sizeof(Slot<Key>) + level.hash.memory();
  }
  return out;
}

size_t AddressTable::memory() const noexcept { return memory_of(narrow_) + memory_of(wide_); }

bool AddressTable::is_large() const noexcept {
  constexpr size_t kFirstLevelCache = 32 << 10;
  return memory() > kFirstLevelCache;
}

bool AddressTable::has(Family family) const noexcept {
  return family == Family::kIpv4 ? !narrow_.levels.empty() : !wide_.levels.empty();
}

}  // namespace fettle
