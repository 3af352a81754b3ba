#include "rules/match_index.h"

#include <algorithm>
#include <bit>
#include <span>

namespace fettle {
namespace {

using Unsigned = uint32_t __attribute__((vector_size(16)));
using Pair = uint64_t __attribute__((vector_size(16)));
using Numbers = MatchIndex::Numbers;

struct Given {
  Unsigned numbers[2];
};

bool passes(const MatchIndex::Screen& screen, const Given& given) noexcept {
  const auto outside = [&](size_t half) {
    const Unsigned from_low = given.numbers[half] - std::bit_cast<Unsigned>(screen.low[half]);
    return std::bit_cast<Numbers>(from_low) > screen.span[half];
  };
  const auto both = std::bit_cast<Pair>(outside(0) | outside(1));
  return (both[0] | both[1]) == 0;
}

}  // namespace

// What one call of find() is about.
struct MatchIndex::Search {
  const Packet& packet;
  const Metadata& metadata;
  const MatchTests& tests;
  PatternScan* const scan;
  const uint32_t from_box;
  const ScreenedNumbers numbers = screened_numbers(packet, metadata);
  const Given given = std::bit_cast<Given>(numbers);
  const Families family = packet.family == Family::kIpv4   ? kIpv4Bit
                          : packet.family == Family::kIpv6 ? kIpv6Bit
                                                           : Families{0};

  uint32_t number(Dimension dimension) const noexcept {
    const auto at = static_cast<size_t>(dimension);
    return at < kScreened ? numbers[at] : other_number(dimension, packet, metadata);
  }
};

// Cells of nodes that stand beside each other are all found before one is looked into, so that they
// do not wait for one another's memory.
uint32_t* MatchIndex::cut(const Search& search, Subtree at, uint32_t best,
                          uint32_t* waiting) const noexcept {
  const auto wait_for = [&](Subtree subtree) {
    *waiting = subtree.bits;
    waiting += subtree.kind() != Kind::kNothing;
  };
  do {
    const Node& node = nodes_[at.at()];
    if (node.first_box < best) {
      Subtree cell;
      cell.bits = cells_.find(node.row, search.number(node.dimension));
      wait_for(cell);
    }
    at = node.beside;
  } while (at.kind() == Kind::kNode);
  wait_for(at);
  return waiting;
}

uint32_t MatchIndex::try_box(const Search& search, uint32_t box, uint32_t best) const noexcept {
  if (box >= best || box < search.from_box || !passes(screens_[box], search.given)) return best;
  const Decision decision = decisions_[box];
  bool matches = (decision.decides() & search.family) != 0;
  if (!matches) {
    matches = search.tests.matches(decision.rule(), search.packet, search.metadata, search.scan);
  } else if (decision.excepts()) {
    matches = !search.tests.excepts(decision.rule(), search.packet, search.metadata, search.scan);
  }
  return matches ? box : best;
}

uint32_t MatchIndex::try_list(const Search& search, uint32_t at, uint32_t best) const noexcept {
  const uint32_t size = lists_[at];
  const uint32_t* box = lists_.data() + at + 2;
  const uint32_t* const end = box + size;
  if (size > kShortList) {
    if (!passes(screens_[box[-1]], search.given)) return best;
    if (*box < search.from_box) box = std::lower_bound(box, end, search.from_box);
  }
  for (; box < end && *box < best; ++box) best = try_box(search, *box, best);
  return best;
}

uint32_t MatchIndex::find(const Packet& packet, const Metadata& metadata, uint32_t from,
                          const MatchTests& tests, PatternScan* scan) const noexcept {
  if (from >= tests.size()) return tests.size();
  const auto none = static_cast<uint32_t>(decisions_.size());
  const Search search{packet, metadata, tests, scan, first_box_[from]};
  uint32_t best = none;
  uint32_t stack[kMostDepth * (kMostBeside + 2)];  // not cleared: that takes longer
  uint32_t* waiting = stack;
  const Family family = packet.family != Family::kNone ? packet.family : metadata.family;
  const Roots& roots = from == 0 && search.family != 0 ? first_ : any_;
  *waiting++ = (family == Family::kIpv6 ? roots.wide : roots.narrow).bits;
  while (waiting > stack) {
    Subtree at;
    at.bits = *--waiting;
    switch (at.kind()) {
      case Kind::kNode:
        waiting = cut(search, at, best, waiting);
        break;
      case Kind::kBox:
        best = try_box(search, at.at(), best);
        break;
      case Kind::kList:
        best = try_list(search, at.at(), best);
        break;
      case Kind::kNothing:
        break;
    }
  }
  return best < none ? decisions_[best].rule() : tests.size();
}

size_t MatchIndex::memory() const noexcept {
  return screens_.size() * sizeof(Screen) + nodes_.size() * sizeof(Node) + cells_.memory() +
         (decisions_.size() + first_box_.size() + lists_.size()) * sizeof(uint32_t);
}

}  // namespace fettle
