// Builds the tree of a MatchIndex. What bounds it: each node has an allowance of entries (boxes in
// cells) that it hands down to its subtrees, so that neither time nor memory outgrow the allowance
// of the root, whatever the rules are.
#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "core/hash.h"
#include "rules/match_index.h"

namespace fettle {
namespace {

// So few boxes are compared one by one.
constexpr size_t kFewBoxes = 4;
// A dimension is judged by a sample where there are more.
constexpr size_t kSample = 2048;
constexpr size_t kLeastAllowance = size_t{1} << 18;
constexpr size_t kMostAllowance = size_t{1} << 23;
constexpr size_t kAllowanceForBox = 128;

// In rising order.
using Boxes = std::vector<uint32_t>;
using SomeBoxes = std::span<const uint32_t>;

uint64_t hash_of(SomeBoxes boxes) {
  uint64_t out = boxes.size();
  for (const uint32_t box : boxes) out = mix(out ^ box);
  return out;
}

}  // namespace

class MatchIndexBuilder {
 public:
  using Subtree = MatchIndex::Subtree;
  using Kind = MatchIndex::Kind;

  MatchIndexBuilder(const MatchBoxes& boxes, MatchIndex* out) : boxes_(boxes), out_(*out) {}

  void build() {
    out_.first_box_ = boxes_.first();
    for (uint32_t box = 0; box < boxes_.size(); ++box) {
      const uint32_t rule = boxes_.rule_of_box()[box];
      out_.decisions_.emplace_back(rule, boxes_.excepts()[rule], boxes_.decides()[box]);
      add_screen({&box, 1});
      uint32_t narrow_in = 0;
      for (size_t i = 0; i < kDimensions; ++i) {
        const auto& all = boxes_.intervals(static_cast<Dimension>(i));
        if (!all.empty() && narrow(all[box])) narrow_in |= uint32_t{1} << i;
      }
      narrow_in_.push_back(narrow_in);
    }
    out_.shape_ = {.boxes = boxes_.size()};
    const Boxes narrow = admitting(kIpv4Bit);
    const Boxes wide = admitting(kIpv6Bit);
    out_.first_ = trees(narrow, wide, true);
    out_.any_ = hid_some_ ? trees(narrow, wide, false) : out_.first_;
    out_.shape_.nodes = static_cast<uint32_t>(out_.nodes_.size());
    out_.lists_.shrink_to_fit();
    out_.nodes_.shrink_to_fit();
    out_.cells_.shrink_to_fit();
  }

 private:
  Boxes admitting(Families family) const {
    Boxes out;
    for (uint32_t box = 0; box < boxes_.size(); ++box) {
      if ((boxes_.admits()[box] & family) != 0) out.push_back(box);
    }
    return out;
  }

  MatchIndex::Roots trees(const Boxes& narrow, const Boxes& wide, bool first) {
    MatchIndex::Roots out;
    hide_for_ = first ? kIpv4Bit : Families{0};
    out.narrow = tree(narrow);
    hide_for_ = first ? kIpv6Bit : Families{0};
    out.wide = narrow == wide ? out.narrow : tree(wide);
    return out;
  }

  Subtree tree(const Boxes& all) {
    const size_t allowance =
        std::clamp(all.size() * kAllowanceForBox, kLeastAllowance, kMostAllowance);
    const Built root = subtree(all, {.allowance = allowance});
    if (hide_for_ != 0) out_.shape_.most = std::max(out_.shape_.most, root.most);
    return root.subtree;
  }

  // Whether the box takes every packet of a cell that it covers in the dimensions `spent`.
  bool takes_all(uint32_t box, uint32_t spent) const {
    const bool decides = (boxes_.decides()[box] & hide_for_) != 0;
    return decides && !boxes_.excepts()[boxes_.rule_of_box()[box]] &&
           (narrow_in_[box] & ~spent) == 0;
  }

  // A box behind one that takes all is no packet's first.
  SomeBoxes without_hidden(SomeBoxes boxes, uint32_t spent) {
    const auto takes = [&](uint32_t box) { return takes_all(box, spent); };
    auto end = std::ranges::find_if(boxes, takes);
    if (end != boxes.end()) ++end;
    hid_some_ |= end != boxes.end();
    return {boxes.begin(), end};
  }

  // What a subtree may still do.
  struct Limits {
    size_t allowance = 0;
    uint32_t spent = 0;  // dimensions, by bit, in which all its boxes cover the cell
    uint32_t depth = 0;
    uint32_t beside = 0;
  };
  struct Built {
    Subtree subtree;
    uint32_t most = 0;  // boxes that a packet may be compared with
  };
  // A dimension cut into cells.
  struct Cut {
    std::vector<uint32_t> starts;  // of cells, the first one's is 0
    std::vector<Boxes> cells;
    std::vector<double> weights;  // of cells: each box is divided among those that it covers
    Boxes beside;
    size_t inside = 0;   // boxes in cells
    size_t entries = 0;  // in all cells
  };
  struct Cells {  // [first, end) that a box covers
    uint32_t first, end;
    uint32_t size() const { return end - first; }
  };

  Interval interval(Dimension dimension, uint32_t box) const {
    return boxes_.intervals(dimension)[box];
  }
  static bool narrow(const Interval& interval) { return !interval.everything(); }

  // Around all of the boxes.
  void add_screen(std::span<const uint32_t> boxes) {
    constexpr uint32_t kTopBit = uint32_t{1} << 31;
    MatchIndex::Screen screen;
    for (size_t i = 0; i < kScreened; ++i) {
      const auto& all = boxes_.intervals(static_cast<Dimension>(i));
      Interval around = all.empty() ? Interval{} : all[boxes[0]];
      for (const uint32_t box : boxes) {
        if (all.empty()) break;
        around.low = std::min(around.low, all[box].low);
        around.high = std::max(around.high, all[box].high);
      }
      screen.low[i / 4][i % 4] = static_cast<int32_t>(around.low ^ kTopBit);
      screen.span[i / 4][i % 4] = static_cast<int32_t>((around.high - around.low) ^ kTopBit);
    }
    out_.screens_.push_back(screen);
  }

  Built subtree(SomeBoxes all, const Limits& limits) {
    const SomeBoxes boxes = without_hidden(all, limits.spent);
    if (boxes.empty()) return {};
    if (boxes.size() == 1) return {{Kind::kBox, boxes[0]}, 1};
    if (boxes.size() > kFewBoxes && limits.depth < MatchIndex::kMostDepth &&
        limits.beside < MatchIndex::kMostBeside && limits.allowance > 4 * boxes.size()) {
      if (const auto dimension = best_dimension(boxes, limits.spent)) {
        Cut made = cut(boxes, *dimension, limits.allowance / boxes.size() / 2);
        if (made.beside.size() < boxes.size()) return node(*dimension, std::move(made), limits);
      }
    }
    return list(boxes);
  }

  Built list(SomeBoxes boxes) {
    const auto at = static_cast<uint32_t>(out_.lists_.size());
    const auto size = static_cast<uint32_t>(boxes.size());
    out_.lists_.push_back(size);
    out_.lists_.push_back(static_cast<uint32_t>(out_.screens_.size()));
    if (size > MatchIndex::kShortList) add_screen(boxes);
    out_.lists_.insert(out_.lists_.end(), boxes.begin(), boxes.end());
    return {{Kind::kList, at}, size};
  }

  // ---- Which dimension ----

  // The one that spares a packet the most boxes; nothing where none is worth a search.
  std::optional<Dimension> best_dimension(SomeBoxes boxes, uint32_t spent) const {
    std::optional<Dimension> out;
    double best = std::max(2.0, static_cast<double>(boxes.size()) / 16);
    for (size_t i = 0; i < kDimensions; ++i) {
      const auto dimension = static_cast<Dimension>(i);
      if ((spent >> i & 1) != 0 || boxes_.intervals(dimension).empty()) continue;
      const double spared = spared_by(boxes, dimension);
      if (spared > best) {
        best = spared;
        out = dimension;
      }
    }
    return out;
  }

  // How many boxes, on average over packets that lie where boxes begin, need no look.
  double spared_by(SomeBoxes boxes, Dimension dimension) const {
    const size_t step = (boxes.size() + kSample - 1) / kSample;
    std::vector<uint32_t> lows, highs;
    for (size_t i = 0; i < boxes.size(); i += step) {
      const Interval mine = interval(dimension, boxes[i]);
      if (!narrow(mine)) continue;
      lows.push_back(mine.low);
      highs.push_back(mine.high);
    }
    std::ranges::sort(lows);
    std::ranges::sort(highs);
    uint64_t covered = 0;
    size_t begun = 0, ended = 0;
    for (const uint32_t low : lows) {
      while (begun < lows.size() && lows[begun] <= low) ++begun;
      while (ended < highs.size() && highs[ended] < low) ++ended;
      covered += begun - ended;
    }
    const auto count = static_cast<double>(lows.size());
    if (lows.empty()) return 0;
    return static_cast<double>(step) * (count - static_cast<double>(covered) / count);
  }

  // ---- Cells ----

  Cut cut(SomeBoxes boxes, Dimension dimension, size_t entries_for_box) const {
    Cut out;
    Boxes inside;
    for (const uint32_t box : boxes) {
      (narrow(interval(dimension, box)) ? inside : out.beside).push_back(box);
    }
    // Without the widest, the others cover fewer cells.
    for (;;) {
      out.starts = starts_of(inside, dimension);
      const std::vector<Cells> covered = cells_of(inside, dimension, out.starts);
      const uint32_t widest = widest_that_fits(covered, entries_for_box * covered.size());
      Boxes kept;
      for (size_t i = 0; i < inside.size(); ++i) {
        (covered[i].size() <= widest ? kept : out.beside).push_back(inside[i]);
      }
      if (kept.size() == inside.size()) {
        fill(out, inside, covered);
        break;
      }
      inside = std::move(kept);
    }
    std::ranges::sort(out.beside);
    return out;
  }

  std::vector<uint32_t> starts_of(SomeBoxes boxes, Dimension dimension) const {
    std::vector<uint32_t> out{0};
    for (const uint32_t box : boxes) {
      const Interval mine = interval(dimension, box);
      out.push_back(mine.low);
      if (mine.high < ~uint32_t{0}) out.push_back(mine.high + 1);
    }
    std::ranges::sort(out);
    const auto same = std::ranges::unique(out);
    out.erase(same.begin(), same.end());
    return out;
  }

  std::vector<Cells> cells_of(SomeBoxes boxes, Dimension dimension,
                              const std::vector<uint32_t>& starts) const {
    std::vector<Cells> out;
    const auto place = [&](auto at) { return static_cast<uint32_t>(at - starts.begin()); };
    for (const uint32_t box : boxes) {
      const Interval mine = interval(dimension, box);
      out.push_back({place(std::ranges::lower_bound(starts, mine.low)),
                     place(std::ranges::upper_bound(starts, mine.high))});
    }
    return out;
  }

  // Boxes that cover more cells than this stand beside: the others' entries keep to the allowance.
  static uint32_t widest_that_fits(const std::vector<Cells>& covered, size_t allowance) {
    std::vector<uint32_t> sizes;
    for (const Cells& cells : covered) sizes.push_back(cells.size());
    std::ranges::sort(sizes);
    size_t entries = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      entries += sizes[i];
      if (entries > allowance) return sizes[i] - 1;
    }
    return std::numeric_limits<uint32_t>::max();
  }

  static void fill(Cut& out, SomeBoxes boxes, const std::vector<Cells>& covered) {
    out.cells.resize(out.starts.size());
    out.weights.resize(out.starts.size());
    out.inside = boxes.size();
    for (size_t i = 0; i < boxes.size(); ++i) {
      out.entries += covered[i].size();
      for (uint32_t cell = covered[i].first; cell < covered[i].end; ++cell) {
        out.cells[cell].push_back(boxes[i]);
        out.weights[cell] += 1.0 / covered[i].size();
      }
    }
  }

  // ---- Nodes ----

  Built node(Dimension dimension, Cut made, const Limits& limits) {
    const double for_box = static_cast<double>(limits.allowance) /
                           static_cast<double>(made.inside + made.beside.size());
    const double for_inner =
        for_box - static_cast<double>(made.entries) / static_cast<double>(made.inside);
    Limits inner = limits;
    inner.spent |= uint32_t{1} << static_cast<uint32_t>(dimension);
    inner.depth += 1;
    inner.beside = 0;
    MatchIndex::Node node;
    node.first_box = std::numeric_limits<uint32_t>::max();
    node.dimension = dimension;
    std::vector<uint32_t> starts;
    std::vector<uint32_t> cells;
    std::unordered_multimap<uint64_t, size_t> seen;  // cells with equal boxes share a subtree
    std::vector<Built> built(made.cells.size());
    uint32_t most = 0;
    for (size_t i = 0; i < made.cells.size(); ++i) {
      Boxes& boxes = made.cells[i];
      const uint64_t hash = hash_of(boxes);
      const auto [first, end] = seen.equal_range(hash);
      const auto same = std::find_if(
          first, end, [&](const auto& entry) { return made.cells[entry.second] == boxes; });
      if (same != end) {
        built[i] = built[same->second];
      } else {
        seen.emplace(hash, i);
        inner.allowance = static_cast<size_t>(for_inner * made.weights[i]);
        built[i] = subtree(boxes, inner);
      }
      if (!boxes.empty()) node.first_box = std::min(node.first_box, boxes[0]);
      most = std::max(most, built[i].most);
      if (!cells.empty() && cells.back() == built[i].subtree.bits) continue;
      cells.push_back(built[i].subtree.bits);
      starts.push_back(made.starts[i]);
    }
    Limits beside = limits;
    beside.allowance = static_cast<size_t>(for_box * static_cast<double>(made.beside.size()));
    beside.beside += 1;
    if (!made.beside.empty()) node.first_box = std::min(node.first_box, made.beside[0]);
    const Built rest = subtree(made.beside, beside);
    node.beside = rest.subtree;
    node.row = out_.cells_.add(starts, cells);
    out_.nodes_.push_back(node);
    return {{Kind::kNode, static_cast<uint32_t>(out_.nodes_.size() - 1)}, most + rest.most};
  }

  const MatchBoxes& boxes_;
  std::vector<uint32_t> narrow_in_;  // by box: dimensions, by bit
  Families hide_for_ = 0;            // packets whose first rule a tree is for; 0: for any rule
  bool hid_some_ = false;
  MatchIndex& out_;
};

MatchIndex::MatchIndex(const MatchBoxes& boxes) { MatchIndexBuilder(boxes, this).build(); }

}  // namespace fettle
