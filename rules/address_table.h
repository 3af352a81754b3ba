// Address to address, by longest prefix, host part kept. Built once, then read only; lookups
// allocate nothing and take no lock.
//
// A hash with open addressing for each family and prefix length, longest length first, keys
// compared whole. A filter tells by an address's first bits which lengths are worth a search. 15
// bytes an IPv4 entry, 60 an IPv6 one, and 3 for the filter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/address.h"
#include "rules/rule.h"

namespace fettle {

class AddressTable {
 public:
  // All prefixes of one family and length; their slots are [first, first + slots).
  struct Level {
    Family family = Family::kNone;
    uint8_t length = 0;
    uint32_t entries = 0;
    uint32_t slots = 0;
    size_t first = 0;
  };

  // Two entries with the same source prefix: the index of the second comes back in *duplicate and
  // the table is of no use.
  static std::optional<AddressTable> build(const std::vector<TableEntry>& entries, bool reverse,
                                           size_t* duplicate);
  // The translated address, or nothing. `address` has the family looked up.
  std::optional<Address> find(const Address& address) const noexcept;

  // Asks the processor for the memory that find() will read. Worth it where the table is_large():
  // more than the first-level cache holds.
  void prefetch(const Address& address) const noexcept;
  bool is_large() const noexcept;

  bool has(Family family) const noexcept;
  size_t size() const noexcept { return size_; }
  // IPv4 before IPv6, longest prefixes first.
  std::span<const Level> levels() const noexcept { return levels_; }

 private:
  // Addresses as numbers.
  using Narrow = uint32_t;
  __extension__ using Wide = unsigned __int128;

  template <typename Key>
  struct alignas(2 * sizeof(Key)) Slot {  // so that none lies in two cache lines
    Key key{};
    Key value{};
  };
  // By the hash of an address's first bits: which of 8 groups of levels (every eighth is of one
  // group) may have an entry.
  struct Filter {
    std::vector<uint8_t> groups;  // empty: all may
    uint8_t length = 0;           // bits of an address that are hashed
    uint8_t always = 0;           // groups with prefixes that are shorter
  };
  template <typename Key>
  struct Store {
    std::vector<Slot<Key>> slots;
    std::vector<Key> free;      // by level: the key of a slot that holds no entry
    std::vector<Level> levels;  // those of levels_ that are of this family
    Filter filter;
  };

  template <typename Key>
  static void clear(Store<Key>& store, const std::vector<TableEntry>& entries, bool reverse);
  template <typename Key>
  static bool insert(Store<Key>& store, const Prefix& from, const Prefix& to);
  // The level's entry with that key, or nullptr.
  template <typename Key>
  static const Slot<Key>* slot_of(const Store<Key>& store, size_t level, Key key) noexcept;
  template <typename Key>
  static std::optional<Address> find_in(const Store<Key>& store, const Address& address) noexcept;
  template <typename Key>
  static void prefetch_in(const Store<Key>& store, const Address& address) noexcept;
  template <typename Key>
  static uint8_t groups_of(const Store<Key>& store, Key whole) noexcept;
  template <typename Key>
  static void add_filter(Store<Key>& store, const std::vector<TableEntry>& entries, bool reverse);
  template <typename Key>
  static void lay_out(Store<Key>& store, const std::vector<TableEntry>& entries);

  std::vector<Level> levels_;
  Store<Narrow> narrow_;
  Store<Wide> wide_;
  size_t size_ = 0;
};

}  // namespace fettle
