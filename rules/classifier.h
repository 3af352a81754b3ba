// Which rule a packet matches next. An index over the rules' fields narrows them down to a few
// candidates, whose tests decide. Immutable once made; asking allocates nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "core/packet.h"
#include "rules/match_index.h"
#include "rules/match_tests.h"
#include "rules/pattern_set.h"
#include "rules/rule.h"

namespace fettle {

class Classifier {
 public:
  Classifier() = default;
  // Rules are numbered in the order given. The matches are not needed afterwards. A key on patterns
  // that the set does not have never holds.
  explicit Classifier(const std::vector<const Match*>& rules, const PatternSet& patterns = {});

  // The first rule at or after `from` that the packet matches; size() where there is none.
  // Requires what MatchTests::matches() does. The scan is of the same set of patterns; null where
  // there is none.
  uint32_t next_match(const Packet& packet, const Metadata& metadata, uint32_t from,
                      PatternScan* scan = nullptr) const noexcept;
  // The same by asking every rule in turn: what the index is judged by.
  uint32_t walk(const Packet& packet, const Metadata& metadata, uint32_t from,
                PatternScan* scan = nullptr) const noexcept;

  uint32_t size() const noexcept { return tests_.size(); }
  const MatchIndex& index() const noexcept { return index_; }
  size_t memory() const noexcept { return tests_.memory() + index_.memory(); }

 private:
  MatchTests tests_;
  MatchIndex index_;
};

}  // namespace fettle
