// Address to address, by longest prefix, host part kept. Built once, then read only; lookups
// allocate nothing and take no lock.
//
// A perfect hash for each family and prefix length, longest length first, keys compared whole: one
// slot read for a length. A filter tells by an address's first bits which lengths are worth it.
// Some 11 bytes an IPv4 entry, 43 an IPv6 one, and 3 for the filter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/address.h"
#include "rules/perfect_hash.h"
#include "rules/rule.h"

namespace fettle {

class AddressTable {
 public:
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
  size_t memory() const noexcept;  // bytes

 private:
  // Addresses as numbers.
  using Narrow = uint32_t;
  __extension__ using Wide = unsigned __int128;

  template <typename Key>
  struct alignas(2 * sizeof(Key)) Slot {  // so that none lies in two cache lines
    Key key{};
    Key value{};
  };
  // All prefixes of one length. Slots that are left over hold some entry once more.
  template <typename Key>
  struct Level {
    Key mask{};
    uint64_t salt = 0;
    PerfectHash hash;
    std::vector<Slot<Key>> slots;
  };
  // By the hash of an address's first bits: which of 8 groups of levels (every eighth is of one
  // group) may have an entry.
  template <typename Key>
  struct Filter {
    std::vector<uint8_t> groups;  // empty: all may
    Key mask{};                   // the bits that are hashed
    uint8_t always = 0;           // groups with prefixes that are shorter
  };
  template <typename Key>
  struct Store {
    std::vector<Level<Key>> levels;
    Filter<Key> filter;
  };

  // The entries of one level, by their index in the file.
  template <typename Key>
  struct Part {
    std::vector<uint32_t> entries;
    std::vector<Key> keys;
  };

  template <typename Key>
  static const Slot<Key>& slot_of(const Level<Key>& level, Key whole) noexcept;
  template <typename Key>
  static std::optional<Address> find_in(const Store<Key>& store, const Address& address) noexcept;
  template <typename Key>
  static void prefetch_in(const Store<Key>& store, const Address& address) noexcept;
  template <typename Key>
  static uint32_t groups_of(const Store<Key>& store, Key whole) noexcept;
  template <typename Key>
  static size_t memory_of(const Store<Key>& store) noexcept;
  template <typename Key>
  static void fill(Store<Key>& store, const std::vector<TableEntry>& entries, bool reverse,
                   size_t* duplicate);
  template <typename Key>
  static void add_filter(Store<Key>& store, const std::vector<Part<Key>>& parts);

  Store<Narrow> narrow_;
  Store<Wide> wide_;
  size_t size_ = 0;
};

}  // namespace fettle
