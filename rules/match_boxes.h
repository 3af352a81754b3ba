// Rules as boxes: for each of some fields of a packet an interval of numbers that the field must
// lie in. A rule becomes one box or, where a key has a list, several. Boxes say what is necessary;
// whether it suffices, too, is said beside: they leave out `not`, masks, flags, bytes, and two
// names of interfaces may share a number.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/packet.h"
#include "rules/rule.h"

namespace fettle {

// Fields as 32-bit numbers. Addresses by their words, the first one of which an IPv4 address has.
enum class Dimension : uint8_t {
  kSrc0,
  kDst0,
  kSrc1,
  kDst1,
  kSrcPort,  // port + kPortBase; 0 where the packet has none
  kDstPort,
  kProtocol,
  kIn,        // hash of the name
  kScreened,  // the fields above are compared before any test of a rule is run
  kSrc2 = kScreened,
  kDst2,
  kSrc3,
  kDst3,
  kOut,
  kInLetters,  // the first four of the name
  kOutLetters,
  kMark,
  kLength,
  kTtl,
  kDscp,
  kHook,
  kFamily,
  kCount
};
constexpr size_t kDimensions = static_cast<size_t>(Dimension::kCount);
constexpr size_t kScreened = static_cast<size_t>(Dimension::kScreened);
constexpr uint32_t kPortBase = 1 << 16;

struct Interval {
  uint32_t low = 0;
  uint32_t high = ~uint32_t{0};

  bool everything() const { return low == 0 && high == ~uint32_t{0}; }
};

// A packet's numbers in the screened dimensions. Requires what MatchTests::matches() does.
using ScreenedNumbers = std::array<uint32_t, kScreened>;
ScreenedNumbers screened_numbers(const Packet& packet, const Metadata& metadata) noexcept;
// In one of the others.
uint32_t other_number(Dimension dimension, const Packet& packet, const Metadata& metadata) noexcept;

using Families = uint8_t;
constexpr Families kIpv4Bit = 1;
constexpr Families kIpv6Bit = 2;
constexpr Families kBothBits = kIpv4Bit | kIpv6Bit;

// All boxes of all rules; those of a rule lie together.
class MatchBoxes {
 public:
  MatchBoxes() : first_{0} {}

  // The boxes of one more rule, at most so many.
  void add(const Match& match, size_t most);
  // How many boxes add() would make without a limit.
  static size_t count(const Match& match);

  uint32_t rules() const { return static_cast<uint32_t>(first_.size() - 1); }
  uint32_t size() const { return static_cast<uint32_t>(rule_.size()); }
  // A rule's boxes are [first(rule), first(rule + 1)).
  const std::vector<uint32_t>& first() const { return first_; }
  const std::vector<uint32_t>& rule_of_box() const { return rule_; }
  // By rule: whether it has exceptions (`not`).
  const std::vector<bool>& excepts() const { return excepts_; }
  // By box: for packets of which families what it says in the screened dimensions is all that its
  // rule asks, exceptions aside.
  const std::vector<Families>& decides() const { return decides_; }
  // By box: packets of which families may lie in it. One of no family may lie in those of IPv4's.
  const std::vector<Families>& admits() const { return admits_; }
  // Empty where no box says anything of that dimension.
  const std::vector<Interval>& intervals(Dimension dimension) const {
    return intervals_[static_cast<size_t>(dimension)];
  }

 private:
  void put(const std::array<Interval, kDimensions>& box, Families decides, Families admits);

  std::vector<uint32_t> first_;
  std::vector<uint32_t> rule_;
  std::vector<bool> excepts_;
  std::vector<Families> decides_;
  std::vector<Families> admits_;
  std::array<std::vector<Interval>, kDimensions> intervals_;
};

}  // namespace fettle
