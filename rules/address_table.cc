#include "rules/address_table.h"

#include <algorithm>
#include <array>

#include "core/bytes.h"
#include "core/hash.h"

namespace fettle {
namespace {

constexpr size_t kLengths = 129;
// A processor has some ten misses under way at most, and a batch of packets shares them.
constexpr size_t kPrefetchedLevels = 4;

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

template <typename Key>
Address to_address(Key key) {
  Address out;
  out.family = kFamilyOf<Key>;
  if constexpr (sizeof(Key) == 4) {
    store_be32(out.bytes.data(), key);
  } else {
    store_be64(out.bytes.data(), static_cast<uint64_t>(key >> 64));
    store_be64(out.bytes.data() + 8, static_cast<uint64_t>(key));
  }
  return out;
}

template <typename Key>
Key network_mask(uint32_t length) {
  return length == 0 ? Key{0} : static_cast<Key>(~Key{0} << (kBits<Key> - length));
}

template <typename Key>
uint32_t home_slot(Key key, uint32_t slots) {
  uint64_t hash = 0;
  if constexpr (sizeof(Key) == 4) {
    hash = mix(key);
  } else {
    hash = mix(mix(static_cast<uint64_t>(key >> 64)) ^ static_cast<uint64_t>(key));
  }
  return static_cast<uint32_t>(((hash >> 32) * slots) >> 32);  // a range without a division
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

void AddressTable::lay_out(const std::vector<TableEntry>& entries) {
  std::array<std::array<uint32_t, kLengths>, 2> counts{};
  for (const TableEntry& entry : entries) {
    ++counts[entry.inside.address.family == Family::kIpv6][entry.inside.length];
  }
  for (const bool wide : {false, true}) {
    size_t first = 0;
    for (size_t length = kLengths; length-- > 0;) {
      const uint32_t count = counts[wide][length];
      if (count == 0) continue;
      levels_.push_back({.family = wide ? Family::kIpv6 : Family::kIpv4,
                         .length = static_cast<uint8_t>(length),
                         .entries = count,
                         .slots = slots_for(count),
                         .first = first});
      first += slots_for(count);
    }
    if (wide) {
      wide_.slots.resize(first);
    } else {
      narrow_.slots.resize(first);
    }
  }
}

// A key with host bits is no prefix's, so it can mark free slots.
template <typename Key>
void AddressTable::clear(Store<Key>& store, const std::vector<TableEntry>& entries, bool reverse) {
  store.free.resize(levels_.size());
  for (size_t i = 0; i < levels_.size(); ++i) {
    const Level& level = levels_[i];
    if (level.family != kFamilyOf<Key>) continue;
    store.free[i] = level.length == kBits<Key> ? unused_address<Key>(entries, reverse)
                                               : static_cast<Key>(~Key{0});
    for (size_t slot = level.first; slot < level.first + level.slots; ++slot) {
      store.slots[slot].key = store.free[i];
    }
  }
}

template <typename Key>
bool AddressTable::insert(Store<Key>& store, const Prefix& from, const Prefix& to) {
  const auto level = std::ranges::find_if(levels_, [&](const Level& candidate) {
    return candidate.family == kFamilyOf<Key> && candidate.length == from.length;
  });
  const Key free = store.free[static_cast<size_t>(level - levels_.begin())];
  const Key key = to_key<Key>(from.address);
  Slot<Key>* const slots = store.slots.data() + level->first;
  uint32_t at = home_slot(key, level->slots);
  while (slots[at].key != free) {
    if (slots[at].key == key) return false;
    if (++at == level->slots) at = 0;
  }
  slots[at] = {key, to_key<Key>(to.address)};
  return true;
}

std::optional<AddressTable> AddressTable::build(const std::vector<TableEntry>& entries,
                                                bool reverse, size_t* duplicate) {
  AddressTable table;
  table.size_ = entries.size();
  table.lay_out(entries);
  table.clear(table.narrow_, entries, reverse);
  table.clear(table.wide_, entries, reverse);
  for (size_t i = 0; i < entries.size(); ++i) {
    const Prefix& from = source(entries[i], reverse);
    const Prefix& to = source(entries[i], !reverse);
    const bool fresh = from.address.family == Family::kIpv4 ? table.insert(table.narrow_, from, to)
                                                            : table.insert(table.wide_, from, to);
    if (!fresh) {
      *duplicate = i;
      return std::nullopt;
    }
  }
  return table;
}

template <typename Key>
std::optional<Address> AddressTable::find_in(const Store<Key>& store,
                                             const Address& address) const noexcept {
  const Key whole = to_key<Key>(address);
  for (size_t i = 0; i < levels_.size(); ++i) {
    const Level& level = levels_[i];
    if (level.family != kFamilyOf<Key>) continue;
    const Key mask = network_mask<Key>(level.length);
    const Key key = whole & mask;
    const Key free = store.free[i];
    const Slot<Key>* const slots = store.slots.data() + level.first;
    uint32_t at = home_slot(key, level.slots);
    while (slots[at].key != free) {
      if (slots[at].key == key) return to_address<Key>(slots[at].value | (whole & ~mask));
      if (++at == level.slots) at = 0;
    }
  }
  return std::nullopt;
}

std::optional<Address> AddressTable::find(const Address& address) const noexcept {
  if (address.family == Family::kIpv4) return find_in(narrow_, address);
  if (address.family == Family::kIpv6) return find_in(wide_, address);
  return std::nullopt;
}

template <typename Key>
void AddressTable::prefetch_in(const Store<Key>& store, const Address& address) const noexcept {
  const Key whole = to_key<Key>(address);
  size_t levels = 0;
  for (const Level& level : levels_) {
    if (level.family != kFamilyOf<Key>) continue;
    const Key key = whole & network_mask<Key>(level.length);
    __builtin_prefetch(&store.slots[level.first + home_slot(key, level.slots)]);
    if (++levels == kPrefetchedLevels) return;
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
