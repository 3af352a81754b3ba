// What a packet's bytes would become, in fixed room, for a line of a log. Found without allocation;
// people who debug rules get more of it from core/side_by_side.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace fettle {

// Bytes [at, at + before_size) that become after_size others. Of either the first are kept.
struct ByteChange {
  static constexpr size_t kBytes = 16;

  uint32_t at = 0;
  uint32_t before_size = 0, after_size = 0;
  std::array<std::byte, kBytes> before{}, after{};
};

struct ByteChanges {
  static constexpr size_t kShown = 8;

  std::array<ByteChange, kShown> shown{};
  uint32_t count = 0;  // of changes, those that are not shown included
};

// `headers`: bytes before the payload, which stand where they stood whatever becomes of its length.
// Where that is another, the payload is one change, from its first byte that differs to its last.
// Neighbours on one side with no more than two equal bytes between them are one.
ByteChanges find_changes(std::span<const std::byte> before, std::span<const std::byte> after,
                         size_t headers) noexcept;

// "change 2 bytes at 10: 3c1f -> 5a2e, 4 at 32: 0a14000b -> cb00710b", "insert 3 bytes at 40:
// 616263", "delete 2 bytes at 8: 0000". Of many, the first; "" of none.
std::string changes_text(const ByteChanges& changes);

}  // namespace fettle
