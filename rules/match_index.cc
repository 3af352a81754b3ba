#include "rules/match_index.h"

#include <algorithm>
#include <bit>
#include <span>

namespace fettle {
namespace {

using Unsigned = uint32_t __attribute__((vector_size(16)));
using Pair = uint64_t __attribute__((vector_size(16)));
using Numbers = MatchIndex::Numbers;

constexpr uint32_t kTopBit = uint32_t{1} << 31;
// How many of the line's numbers are at most `number`, both flipped.
uint32_t count_up_to(const MatchIndex::Line& line, int32_t number) noexcept {
  const Numbers given = {number, number, number, number};
  const Numbers greater = (line.numbers[0] > given) + (line.numbers[1] > given) +
                          (line.numbers[2] > given) + (line.numbers[3] > given);
  return static_cast<uint32_t>(static_cast<int>(MatchIndex::kLine) + greater[0] + greater[1] +
                               greater[2] + greater[3]);
}

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

MatchIndex::Subtree MatchIndex::cell_of(const Node& node, uint32_t number) const noexcept {
  const auto flipped = static_cast<int32_t>(std::min(number, kMaximum) ^ kTopBit);
  uint32_t line = 0;
  for (uint32_t level = 0; level < node.levels; ++level) {
    line = line * kLine + count_up_to(units_[node.lines[level] + line].line, flipped) - 1;
  }
  const Unit* const pair = &units_[node.lines[node.levels] + 2 * line];
  __builtin_prefetch(pair + 1);
  return pair[1].cells[count_up_to(pair->line, flipped) - 1];
}

// One call of find(). `waiting` holds subtrees that are still to be looked at.
struct MatchIndex::Search {
  const Packet& packet;
  const Metadata& metadata;
  const MatchTests& tests;
  const ScreenedNumbers numbers = screened_numbers(packet, metadata);
  const Given given = std::bit_cast<Given>(numbers);
  const Families family = packet.family == Family::kIpv4   ? kIpv4Bit
                          : packet.family == Family::kIpv6 ? kIpv6Bit
                                                           : Families{0};
  const uint32_t from_box;
  uint32_t best;
  uint32_t waiting = 0;
  std::array<uint32_t, kMostDepth*(kMostBeside + 2)> stack;  // not cleared: that takes longer

  Search(const Packet& p, const Metadata& m, const MatchTests& t, uint32_t from,
         uint32_t none) noexcept
      : packet(p), metadata(m), tests(t), from_box(from), best(none) {}
  void push(Subtree at) noexcept { stack[waiting++] = at.bits; }
  Subtree pop() noexcept {
    Subtree out;
    out.bits = stack[--waiting];
    return out;
  }
};

void MatchIndex::prefetch(Subtree at) const noexcept {
  switch (at.kind()) {
    case Kind::kNode:
      __builtin_prefetch(&units_[at.at()]);
      __builtin_prefetch(&units_[at.at() + 1]);
      __builtin_prefetch(&units_[at.at() + 2]);
      break;
    case Kind::kBox:
      __builtin_prefetch(&screens_[at.at()]);
      break;
    case Kind::kList:
      __builtin_prefetch(&lists_[at.at()]);
      break;
    case Kind::kNothing:
      break;
  }
}

// Nodes that stand beside each other do not wait for one another's memory: their cells are found
// first, then looked into.
void MatchIndex::cut(Search& search, Subtree at) const noexcept {
  for (;;) {
    const Node& node = units_[at.at()].node;
    if (node.first_box < search.best) {
      const auto dimension = static_cast<size_t>(node.dimension);
      const uint32_t number = dimension < kScreened
                                  ? search.numbers[dimension]
                                  : other_number(node.dimension, search.packet, search.metadata);
      const Subtree cell = cell_of(node, number);
      prefetch(cell);
      search.push(cell);
    }
    at = node.beside;
    if (at.kind() != Kind::kNode) break;
  }
  search.push(at);
}

// False: the boxes that follow cannot improve on the best.
bool MatchIndex::try_box(Search& search, uint32_t box) const noexcept {
  if (box >= search.best) return false;
  if (box < search.from_box || !passes(screens_[box], search.given)) return true;
  const Decision decision = decisions_[box];
  if ((decision.decides() & search.family) == 0 &&
      !search.tests.matches(decision.rule(), search.packet, search.metadata)) {
    return true;
  }
  search.best = box;
  return false;
}

void MatchIndex::try_list(Search& search, uint32_t at) const noexcept {
  const uint32_t size = lists_[at];
  const uint32_t* box = lists_.data() + at + 2;
  const uint32_t* const end = box + size;
  if (size > kShortList) {
    if (!passes(screens_[box[-1]], search.given)) return;
    box = std::lower_bound(box, end, search.from_box);
  }
  while (box < end && try_box(search, *box)) ++box;
}

uint32_t MatchIndex::find(const Packet& packet, const Metadata& metadata, uint32_t from,
                          const MatchTests& tests) const noexcept {
  if (from >= tests.size()) return tests.size();
  const auto none = static_cast<uint32_t>(decisions_.size());
  Search search(packet, metadata, tests, first_box_[from], none);
  search.push(root_);
  while (search.waiting > 0) {
    const Subtree at = search.pop();
    switch (at.kind()) {
      case Kind::kNode:
        cut(search, at);
        break;
      case Kind::kBox:
        try_box(search, at.at());
        break;
      case Kind::kList:
        try_list(search, at.at());
        break;
      case Kind::kNothing:
        break;
    }
  }
  return search.best < none ? decisions_[search.best].rule() : tests.size();
}

size_t MatchIndex::memory() const noexcept {
  return screens_.size() * sizeof(Screen) + units_.size() * sizeof(Unit) +
         (decisions_.size() + first_box_.size() + lists_.size()) * sizeof(uint32_t);
}

}  // namespace fettle
