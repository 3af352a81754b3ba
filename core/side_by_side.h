// Two states of the same bytes for people, side by side in hex and ASCII: before and after a
// change, or what was expected and what was found.
//
//   before                                    after
//   0018  cb 00 71 09*0a*14*00 0b  ..q.....   0018  cb 00 71 09*cb*00*71 0b  ..q...q.
//
// Where the lengths differ, one place is found where bytes were put in or taken out, such that what
// stands behind it is compared with what it was before; there the shorter side shows `--`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

struct SideBySide {
  std::string_view left = "before";
  std::string_view right = "after";
  bool colour = false;  // bytes that differ in colour beside their mark, a star
  bool whole = false;   // false: lines far from any difference are left out, "..." in their place
};

std::string side_by_side(std::span<const std::byte> left, std::span<const std::byte> right,
                         const SideBySide& style);

// Bytes [from, to) of the left side that differ or are gone, and what stands there on the right.
struct Difference {
  uint32_t from = 0, to = 0;              // left
  uint32_t right_from = 0, right_to = 0;  // right
  bool operator==(const Difference&) const = default;
};
// In order, none adjacent to another; aligned as side_by_side() does.
std::vector<Difference> differences(std::span<const std::byte> left,
                                    std::span<const std::byte> right);

}  // namespace fettle
