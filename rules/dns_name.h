// Domain names in DNS messages: read with their compression pointers followed, written with new
// ones, and the names of addresses under in-addr.arpa and ip6.arpa. Made for hostile messages: work
// is bounded, nothing outside of the message is read, no memory is allocated.
//
// Sources: RFC 1035 (3.1, 3.5, 4.1.4), 3596 (2.5).
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/address.h"

namespace fettle {

// A whole name, without pointers.
class DnsName {
 public:
  static constexpr uint32_t kLongest = 255;  // bytes, the root's 0 included
  static constexpr uint32_t kMostLabels = 127;

  uint32_t labels() const { return count_; }
  // Its characters, as they came.
  std::string_view label(uint32_t i) const;
  // The name from a label on, each behind its length, with the root's 0.
  std::span<const std::byte> from(uint32_t i) const;
  bool compressed() const { return compressed_; }  // came with a pointer

  // The address whose name in the reverse tree this is; nothing for names of networks and for those
  // of RFC 2317.
  std::optional<Address> reverse_address() const;
  // Makes it that of another address of the same family; the last two labels stay as they came.
  // Requires reverse_address().
  void set_reverse_address(const Address& address);

 private:
  friend class DnsNameReader;

  void clear();
  bool append(std::string_view label);  // false: too long
  void end();

  std::array<std::byte, kLongest> bytes_;
  std::array<uint8_t, kMostLabels> begins_;
  uint32_t size_ = 0;
  uint32_t count_ = 0;
  bool compressed_ = false;
};

// Reads the names of a message in the order in which they stand. A pointer must lead to where a
// part of a name began that was read before, as those of RFC 1035 do.
class DnsNameReader {
 public:
  explicit DnsNameReader(std::span<const std::byte> message) : message_(message) {}

  // The offset behind the name that begins at `at`; nothing where there is none that is whole.
  std::optional<uint32_t> read(uint32_t at, DnsName* name);

 private:
  static constexpr uint32_t kPointers = 0x4000;  // so far do pointers reach
  // Labels and pointers of all names together: a message of 64 KiB could ask for millions.
  static constexpr uint32_t kMostWork = 1 << 15;

  std::span<const std::byte> message_;
  std::bitset<kPointers> begins_;
  uint32_t work_ = kMostWork;
};

// Writes names into a message, each as short as those before it allow.
class DnsNameWriter {
 public:
  explicit DnsNameWriter(std::span<std::byte> message) : message_(message) {}

  // The offset behind the name; nothing where there is no room. Offsets must rise from call to
  // call. Names that are not to be compressed themselves still serve those behind them.
  std::optional<uint32_t> write(uint32_t at, const DnsName& name, bool compress);

 private:
  struct Entry {
    uint32_t hash = 0;
    uint32_t at = 0;  // 0: free
  };

  uint32_t find(uint32_t hash, const DnsName& name, uint32_t label) const;  // 0: none
  bool is_same(uint32_t at, std::span<const std::byte> name) const;
  void remember(uint32_t hash, uint32_t at);

  std::span<std::byte> message_;
  std::array<Entry, 1024> known_{};
};

}  // namespace fettle
