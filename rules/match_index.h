// Which rules may match a packet: a tree over the boxes of the rules. A node cuts one dimension
// into cells, each with a subtree of the boxes that cover it; boxes that say nothing of that
// dimension, or would cover too many cells, stand in one more subtree beside. Superset of what
// matches: the caller asks the tests of each candidate.
//
// Made by match_index_builder.cc; read only afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/packet.h"
#include "rules/match_boxes.h"
#include "rules/match_tests.h"

namespace fettle {

class MatchIndex {
 public:
  MatchIndex() = default;
  explicit MatchIndex(const MatchBoxes& boxes);

  // The first rule at or after `from` whose tests hold; tests.size() where there is none.
  uint32_t find(const Packet& packet, const Metadata& metadata, uint32_t from,
                const MatchTests& tests) const noexcept;

  struct Shape {
    uint32_t boxes = 0;
    uint32_t nodes = 0;
    uint32_t most = 0;  // boxes that one packet may be compared with, at most
  };
  const Shape& shape() const noexcept { return shape_; }
  size_t memory() const noexcept;

  // ---- The tree; for the builder ----

  static constexpr uint32_t kLine = 16;  // numbers in a cache line
  using Numbers = int32_t __attribute__((vector_size(16)));

  // A reference to a subtree: what it is in the first two bits, and which in the others.
  enum class Kind : uint32_t { kNothing, kBox, kList, kNode };
  struct Subtree {
    uint32_t bits = 0;

    Subtree() = default;
    Subtree(Kind kind, uint32_t at) : bits(static_cast<uint32_t>(kind) << 30 | at) {}
    Kind kind() const noexcept { return static_cast<Kind>(bits >> 30); }
    uint32_t at() const noexcept { return bits & ((uint32_t{1} << 30) - 1); }
    bool operator==(const Subtree&) const = default;
  };
  // Numbers in rising order, compared 16 at a time, with their top bit flipped: SSE2 compares
  // signed numbers only.
  struct alignas(64) Line {
    Numbers numbers[4];
  };
  // A box in the screened dimensions: a number is in it where number - low, with the top bit
  // flipped, is at most `span`.
  struct alignas(64) Screen {
    Numbers low[2];
    Numbers span[2];
  };
  // What to do when a packet lies in a box.
  class Decision {
   public:
    Decision(uint32_t rule, Families decides) : bits_(rule << 2 | decides) {}
    uint32_t rule() const noexcept { return bits_ >> 2; }
    // Packets of these families match; others are asked the rule's tests.
    Families decides() const noexcept { return bits_ & 3; }

   private:
    uint32_t bits_;
  };
  static constexpr uint32_t kMostLevels = 5;  // 16^5 cells
  // A node and what it is searched by lie together in `units_`: the node, lines of numbers from
  // the root's level on, then pairs of a line with the starts of cells and their subtrees. A
  // number of a level begins a line of the next one.
  struct Node {
    Subtree beside;
    uint32_t first_box = 0;  // the least in all of the node
    Dimension dimension{};
    uint8_t levels = 0;                         // above the pairs
    std::array<uint32_t, kMostLevels> lines{};  // where each level begins, then the pairs
  };
  union alignas(64) Unit {
    Node node;
    Line line;
    std::array<Subtree, kLine> cells;

    explicit Unit(const Node& value) : node(value) {}
    explicit Unit(const Line& value) : line(value) {}
    explicit Unit(const std::array<Subtree, kLine>& value) : cells(value) {}
  };
  // So many boxes of a list are compared at once; more of them only where the packet lies in the
  // screen around them, and from the first in question on.
  static constexpr uint32_t kShortList = 8;
  static constexpr uint32_t kMostDepth = 16;   // steps from a node to one of its cells
  static constexpr uint32_t kMostBeside = 24;  // subtrees that stand beside each other in a row
  static constexpr uint32_t kMaximum = ~uint32_t{0} - 1;  // numbers above count as this one

 private:
  friend class MatchIndexBuilder;

  struct Search;
  Subtree cell_of(const Node& node, uint32_t number) const noexcept;
  void cut(Search& search, Subtree at) const noexcept;
  bool try_box(Search& search, uint32_t box) const noexcept;
  void try_list(Search& search, uint32_t at) const noexcept;
  void prefetch(Subtree at) const noexcept;

  std::vector<Screen> screens_;      // by box, then those around lists
  std::vector<Decision> decisions_;  // by box
  std::vector<uint32_t> first_box_;  // by rule
  std::vector<uint32_t> lists_;      // each: how many, a screen around them, the boxes in order
  std::vector<Unit> units_;
  Subtree root_;
  Shape shape_;
};

}  // namespace fettle
