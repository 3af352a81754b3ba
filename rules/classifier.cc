#include "rules/classifier.h"

#include <algorithm>

namespace fettle {
namespace {

// Boxes of all rules together. Where lists would make more, neighbours in a list share one.
constexpr size_t kMostBoxes = 400'000;

MatchBoxes boxes_of(const std::vector<const Match*>& rules) {
  size_t wanted = 0;
  for (const Match* match : rules) wanted += std::min(MatchBoxes::count(*match), kMostBoxes + 1);
  const size_t most =
      wanted <= kMostBoxes ? kMostBoxes : std::max<size_t>(1, kMostBoxes / rules.size());
  MatchBoxes out;
  for (const Match* match : rules) out.add(*match, most);
  return out;
}

}  // namespace

Classifier::Classifier(const std::vector<const Match*>& rules, const PatternSet& patterns)
    : index_(boxes_of(rules)) {
  for (const Match* match : rules) tests_.add(*match, patterns);
}

uint32_t Classifier::next_match(const Packet& packet, const Metadata& metadata, uint32_t from,
                                PatternScan* scan) const noexcept {
  return index_.find(packet, metadata, from, tests_, scan);
}

uint32_t Classifier::walk(const Packet& packet, const Metadata& metadata, uint32_t from,
                          PatternScan* scan) const noexcept {
  uint32_t rule = from;
  while (rule < size() && !tests_.matches(rule, packet, metadata, scan)) ++rule;
  return rule;
}

}  // namespace fettle
