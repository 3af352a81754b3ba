// Which rules may match a packet: a tree over the boxes of the rules, one for each family. A node
// cuts one dimension into cells, each with a subtree of the boxes that cover it; boxes that say
// nothing of that dimension, or would cover too many cells, stand in one more subtree beside.
// Superset of what matches: the caller asks the tests of each candidate. A packet's first rule is
// looked for in trees of their own, without the boxes behind one that takes all packets of a cell.
//
// Made by match_index_builder.cc; read only afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/packet.h"
#include "rules/cell_table.h"
#include "rules/match_boxes.h"
#include "rules/match_tests.h"

namespace fettle {

class MatchIndex {
 public:
  MatchIndex() = default;
  explicit MatchIndex(const MatchBoxes& boxes);

  // The first rule at or after `from` whose tests hold; tests.size() where there is none.
  uint32_t find(const Packet& packet, const Metadata& metadata, uint32_t from,
                const MatchTests& tests, PatternScan* scan = nullptr) const noexcept;

  struct Shape {
    uint32_t boxes = 0;
    uint32_t nodes = 0;
    uint32_t most = 0;  // boxes that a packet may be compared with until its first rule is found
  };
  const Shape& shape() const noexcept { return shape_; }
  size_t memory() const noexcept;

  // ---- The tree; for the builder ----

  using Numbers = int32_t __attribute__((vector_size(16)));

  // A reference to a subtree: what it is in two bits, and which in the others; a value of a
  // CellTable.
  enum class Kind : uint32_t { kNothing, kBox, kList, kNode };
  struct Subtree {
    static constexpr uint32_t kPlaceBits = 29;
    uint32_t bits = 0;

    Subtree() = default;
    Subtree(Kind kind, uint32_t at) : bits(static_cast<uint32_t>(kind) << kPlaceBits | at) {}
    Kind kind() const noexcept { return static_cast<Kind>(bits >> kPlaceBits); }
    uint32_t at() const noexcept { return bits & ((uint32_t{1} << kPlaceBits) - 1); }
    bool operator==(const Subtree&) const = default;
  };
  static_assert((uint32_t{4} << Subtree::kPlaceBits) - 1 <= CellTable::kMostValue);
  // A box in the screened dimensions: a number is in it where number - low, with the top bit
  // flipped (SSE2 compares signed numbers only), is at most `span`.
  struct alignas(64) Screen {
    Numbers low[2];
    Numbers span[2];
  };
  // What to do when a packet lies in a box.
  class Decision {
   public:
    Decision(uint32_t rule, bool excepts, Families decides)
        : bits_(rule << 3 | uint32_t{excepts} << 2 | decides) {}
    uint32_t rule() const noexcept { return bits_ >> 3; }
    // Packets of these families match, unless excepted; others are asked the rule's tests.
    Families decides() const noexcept { return bits_ & 3; }
    bool excepts() const noexcept { return (bits_ & 4) != 0; }

   private:
    uint32_t bits_;
  };
  struct alignas(32) Node {
    Subtree beside;
    uint32_t first_box = 0;  // the least in all of the node
    CellTable::Row row;
    Dimension dimension{};
  };
  // So many boxes of a list are compared at once; more of them only where the packet lies in the
  // screen around them, and from the first in question on.
  static constexpr uint32_t kShortList = 8;
  static constexpr uint32_t kMostDepth = 16;   // steps from a node to one of its cells
  static constexpr uint32_t kMostBeside = 24;  // subtrees that stand beside each other in a row

 private:
  friend class MatchIndexBuilder;

  struct Search;
  uint32_t* cut(const Search& search, Subtree at, uint32_t best, uint32_t* waiting) const noexcept;
  // Each gives the best box so far, the least: `best`, or one that is less.
  uint32_t try_box(const Search& search, uint32_t box, uint32_t best) const noexcept;
  uint32_t try_list(const Search& search, uint32_t at, uint32_t best) const noexcept;

  std::vector<Screen> screens_;      // by box, then those around lists
  std::vector<Decision> decisions_;  // by box
  std::vector<uint32_t> first_box_;  // by rule
  std::vector<uint32_t> lists_;      // each: how many, a screen around them, the boxes in order
  std::vector<Node> nodes_;
  CellTable cells_;
  struct Roots {
    Subtree narrow;  // for all packets but IPv6's
    Subtree wide;
  };
  Roots first_;  // for a packet's first rule; its family is known
  Roots any_;
  Shape shape_;
};

}  // namespace fettle
