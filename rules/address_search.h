// All addresses of a table in a text, wherever they stand: as bytes in network order, as text
// ("10.9.1.2", "fd00::2"), or as FTP's "10,9,1,2". Text is taken for an address only where no
// letter, digit or further part adjoins: not in "110.9.1.2", "10.9.1.2.3" or "host10.9.1.2".
//
// Sources: RFC 959 (PORT), 2428 (EPRT), 4291 section 2.2, inet_pton(3).
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/address.h"
#include "rules/address_table.h"
#include "rules/edit_text.h"
#include "rules/rule.h"

namespace fettle {

// By which two bytes addresses of a table begin, so that a search for bytes asks the table seldom.
class AddressBeginnings {
 public:
  AddressBeginnings(const std::vector<TableEntry>& entries, bool reverse, Family family);
  bool may_begin(std::span<const std::byte> bytes) const noexcept;  // of one byte at least

 private:
  void add(const Prefix& prefix);

  std::bitset<256> first_;
  std::unique_ptr<std::bitset<65536>> both_;
};

// Adds an edit for each address that the table translates, from left to right; `family` is the only
// one that is looked for in binary. What comes back is as Replacement::find() has it.
uint32_t find_binary(const AddressTable& table, const AddressBeginnings& beginnings, Family family,
                     const EditText& text, EditList& list) noexcept;
uint32_t find_text(const AddressTable& table, const EditText& text, EditList& list) noexcept;
uint32_t find_comma(const AddressTable& table, const EditText& text, EditList& list) noexcept;

// The address that is written at the beginning of `bytes`, in one of the two forms of text, and how
// many bytes that takes; nothing where there is none.
struct WrittenAddress {
  Address address;
  uint32_t size = 0;
};
std::optional<WrittenAddress> read_address(std::span<const std::byte> bytes,
                                           AddressForm form) noexcept;
// How an address is written; returns how many bytes that takes. kComma: IPv4.
using AddressText = std::array<char, Address::kLongestText>;
uint32_t write_address(const Address& address, AddressForm form, AddressText* out) noexcept;

}  // namespace fettle
