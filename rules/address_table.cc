#include "rules/address_table.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/bytes.h"
#include "core/hash.h"

namespace fettle {
namespace {

constexpr size_t kLengths = 129;
constexpr size_t kGroups = 8;
// A processor has some ten misses under way at most, and a batch of packets shares them.
constexpr size_t kPrefetchedLevels = 2;
// A filter is for more entries than the caches hold, and has so many places for one of them.
constexpr size_t kFiltered = 2048;
constexpr size_t kFilterPlaces = 3;
// A level with a smaller part of the entries needs no filter: it is soon in the caches.
constexpr size_t kSmallPart = 32;

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

template <typename Key>
size_t home_slot(Key key, size_t slots) {
  uint64_t hash = 0;
  if constexpr (sizeof(Key) == 4) {
    hash = mix(key);
  } else {
    hash = mix_pair(static_cast<uint64_t>(key >> 64), static_cast<uint64_t>(key));
  }
  return ((hash >> 32) * slots) >> 32;  // a range without a division
}

// Some half full at most, and one slot at least stays free so that each search ends.
uint32_t slots_for(uint32_t entries) { return entries + entries / 8 * 7 + entries % 8 + 1; }

const Prefix& source(const TableEntry& entry, bool reverse) {
  return reverse ? entry.outside : entry.inside;
}

// The first number that is none of the whole addresses.
template <typename Key>
Key unused_address(const std::vector<TableEntry>& entries, bool reverse) {
  std::vector<bool> used(entries.size() + 1);
  for (const TableEntry& entry : entries) {
    const Prefix& from = source(entry, reverse);
    if (from.address.family != kFamilyOf<Key> || !from.is_host()) continue;
    const Key key = to_key<Key>(from.address);
    if (key < used.size()) used[static_cast<size_t>(key)] = true;
  }
  return static_cast<Key>(std::ranges::find(used, false) - used.begin());
}

}  // namespace

template <typename Key>
void AddressTable::lay_out(Store<Key>& store, const std::vector<TableEntry>& entries) {
  std::array<uint32_t, kLengths> counts{};
  for (const TableEntry& entry : entries) {
    if (entry.inside.address.family == kFamilyOf<Key>) ++counts[entry.inside.length];
  }
  size_t first = 0;
  for (size_t length = kLengths; length-- > 0;) {
    const uint32_t count = counts[length];
    if (count == 0) continue;
    store.levels.push_back({.family = kFamilyOf<Key>,
                            .length = static_cast<uint8_t>(length),
                            .entries = count,
                            .slots = slots_for(count),
                            .first = first});
    first += slots_for(count);
  }
  store.slots.resize(first);
}

// A key with host bits is no prefix's, so it can mark free slots.
template <typename Key>
void AddressTable::clear(Store<Key>& store, const std::vector<TableEntry>& entries, bool reverse) {
  for (const Level& level : store.levels) {
    const Key free = level.length == kBits<Key> ? unused_address<Key>(entries, reverse)
                                                : static_cast<Key>(~Key{0});
    store.free.push_back(free);
    for (size_t slot = level.first; slot < level.first + level.slots; ++slot) {
      store.slots[slot].key = free;
    }
  }
}

template <typename Key>
bool AddressTable::insert(Store<Key>& store, const Prefix& from, const Prefix& to) {
  const auto level = std::ranges::find(store.levels, from.length, &Level::length);
  const Key free = store.free[static_cast<size_t>(level - store.levels.begin())];
  const Key key = to_key<Key>(from.address);
  Slot<Key>* const slots = store.slots.data() + level->first;
  size_t at = home_slot(key, level->slots);
  while (slots[at].key != free) {
    if (slots[at].key == key) return false;
    if (++at == level->slots) at = 0;
  }
  slots[at] = {key, to_key<Key>(to.address)};
  return true;
}

// Hashes as many bits as the shortest of the large levels has: of longer prefixes the first ones.
template <typename Key>
void AddressTable::add_filter(Store<Key>& store, const std::vector<TableEntry>& entries,
                              bool reverse) {
  size_t count = 0;
  for (const Level& level : store.levels) count += level.entries;
  if (store.levels.size() < 2 || count < kFiltered) return;
  Filter& filter = store.filter;
  for (const Level& level : store.levels) {
    if (level.entries >= count / kSmallPart) filter.length = level.length;
  }
  std::array<uint8_t, kLengths> group_of{};
  for (size_t i = 0; i < store.levels.size(); ++i) {
    const uint8_t length = store.levels[i].length;
    group_of[length] = static_cast<uint8_t>(1 << i % kGroups);
    if (length < filter.length) filter.always |= group_of[length];
  }
  filter.groups.resize(count * kFilterPlaces);
  for (const TableEntry& entry : entries) {
    const Prefix& from = source(entry, reverse);
    if (from.address.family != kFamilyOf<Key> || from.length < filter.length) continue;
    const Key bits = to_key<Key>(from.address) & network_mask<Key>(filter.length);
    filter.groups[home_slot(bits, filter.groups.size())] |= group_of[from.length];
  }
}

template <typename Key>
uint8_t AddressTable::groups_of(const Store<Key>& store, Key whole) noexcept {
  const Filter& filter = store.filter;
  if (filter.groups.empty()) return 0xff;
  const Key bits = whole & network_mask<Key>(filter.length);
  return filter.groups[home_slot(bits, filter.groups.size())] | filter.always;
}

std::optional<AddressTable> AddressTable::build(const std::vector<TableEntry>& entries,
                                                bool reverse, size_t* duplicate) {
  AddressTable table;
  table.size_ = entries.size();
  lay_out(table.narrow_, entries);
  lay_out(table.wide_, entries);
  table.levels_ = table.narrow_.levels;
  table.levels_.insert(table.levels_.end(), table.wide_.levels.begin(), table.wide_.levels.end());
  clear(table.narrow_, entries, reverse);
  clear(table.wide_, entries, reverse);
  for (size_t i = 0; i < entries.size(); ++i) {
    const Prefix& from = source(entries[i], reverse);
    const Prefix& to = source(entries[i], !reverse);
    const bool fresh = from.address.family == Family::kIpv4 ? insert(table.narrow_, from, to)
                                                            : insert(table.wide_, from, to);
    if (!fresh) {
      *duplicate = i;
      return std::nullopt;
    }
  }
  add_filter(table.narrow_, entries, reverse);
  add_filter(table.wide_, entries, reverse);
  return table;
}

template <typename Key>
const AddressTable::Slot<Key>* AddressTable::slot_of(const Store<Key>& store, size_t level,
                                                     Key key) noexcept {
  const Key free = store.free[level];
  const size_t count = store.levels[level].slots;
  const Slot<Key>* const slots = store.slots.data() + store.levels[level].first;
  for (size_t at = home_slot(key, count); slots[at].key != free;) {
    if (slots[at].key == key) return &slots[at];
    if (++at == count) at = 0;
  }
  return nullptr;
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
      const Level& level = store.levels[i];
      const Key mask = network_mask<Key>(level.length);
      const Slot<Key>* const found = slot_of(store, i, whole & mask);
      if (found == nullptr) continue;
      to_address<Key>(found->value | (whole & ~mask), out.emplace());
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

// What find() will look at first. The filter's own byte is waited for: it is small beside the
// slots, and those of a batch's packets are waited for together.
template <typename Key>
void AddressTable::prefetch_in(const Store<Key>& store, const Address& address) noexcept {
  const Key whole = to_key<Key>(address);
  uint32_t left = groups_of(store, whole);
  for (size_t levels = 0; left != 0 && levels < kPrefetchedLevels; ++levels, left &= left - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(left));
    if (i >= store.levels.size()) return;
    const Level& level = store.levels[i];
    const Key key = whole & network_mask<Key>(level.length);
    __builtin_prefetch(&store.slots[level.first + home_slot(key, level.slots)]);
  }
}

void AddressTable::prefetch(const Address& address) const noexcept {
  if (address.family == Family::kIpv4) prefetch_in(narrow_, address);
  if (address.family == Family::kIpv6) prefetch_in(wide_, address);
}

bool AddressTable::is_large() const noexcept {
  constexpr size_t kFirstLevelCache = 32 << 10;
  return narrow_.slots.size() * sizeof(Slot<Narrow>) + wide_.slots.size() * sizeof(Slot<Wide>) >
         kFirstLevelCache;
}

bool AddressTable::has(Family family) const noexcept {
  return std::ranges::any_of(levels_, [&](const Level& level) { return level.family == family; });
}

}  // namespace fettle
