// The tests of every rule, each rule's in one run of words with the operands inline, so that a
// rule is judged from one or two cache lines. It is what a rule means; the index of the classifier
// only says which rules are worth asking.
//
//   rule:   1 where some test needs a transport header, the number of groups, the groups
//   group:  its size in words, its tests: all_of first, then each of none_of
//   test:   the key, the size of its operands in words, the operands
//
// Ranges and addresses are sorted and merged, so that a list is searched and not walked.
#pragma once

#include <cstdint>
#include <vector>

#include "core/packet.h"
#include "rules/pattern_set.h"
#include "rules/rule.h"

namespace fettle {

class MatchTests {
 public:
  // Rules are numbered in the order in which they are added, patterns as in the set.
  void add(const Match& match, const PatternSet& patterns = {});

  // Requires !packet.malformed(), or an empty packet where no rule looks at one. A rule that looks
  // at the transport header or behind it matches no later fragment. Null scan: no pattern occurs.
  bool matches(uint32_t rule, const Packet& packet, const Metadata& metadata,
               PatternScan* scan) const noexcept;
  // The same for one that is known to satisfy all but the exceptions: whether one of them holds.
  bool excepts(uint32_t rule, const Packet& packet, const Metadata& metadata,
               PatternScan* scan) const noexcept;

  uint32_t size() const noexcept { return static_cast<uint32_t>(starts_.size()); }
  size_t memory() const noexcept { return (words_.size() + starts_.size()) * sizeof(uint32_t); }

 private:
  void add_group(const Match& match, const PatternSet& patterns);
  void add_test(const Condition& condition, const PatternSet& patterns);
  void add_prefixes(const Condition& condition);
  void put(const Operand& operand);
  void put_bytes(const BytesMatch& operand);

  std::vector<uint32_t> words_;
  std::vector<size_t> starts_;  // of rules, in words_
};

// Ranges in rising order, those that touch or overlap made one.
std::vector<Range> merged(std::vector<Range> ranges);

// Whether the key's field lies in the transport header or behind it, so that a later fragment has
// none.
bool reads_transport(const Condition& condition);

}  // namespace fettle
