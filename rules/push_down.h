// Rules that a firewall carries out by itself: they cost no queue.
//
// The firewall meets them ahead of its filters for the queue, in the order of the file. One behind
// a rule that stays with the queue is met too early by that, so it has to be one that may change
// places with it: no packet meets both, or neither sees what the other writes. Whoever reads the
// queue runs the rest of the set alone (without_pushed()).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "rules/rule.h"

namespace fettle {

struct SteeringPoint;

// A rule as its firewall has it.
struct PushedRule {
  struct Text {
    std::string chains;  // that make its own chains, ahead of all rules
    std::string rules;   // that fill them
    std::string jumps;   // that stand in the point's chain
  };
  std::string rule;               // its name
  std::array<Text, 2> by_family;  // IPv4, IPv6; nft: the first one is both
};

// Writes a rule at a point, where the firewall does to each packet what the rule says; else why it
// cannot, as what ends "fettle alone ...".
using RuleWriter = std::function<std::expected<PushedRule, std::string>(
    const RuleSet& set, uint32_t rule, const SteeringPoint& point)>;

// Which rules of a set may change places. Each rule is looked at once, so that a pair of them costs
// nanoseconds: of 10,000 rules there are 50,000,000. The set has to outlive it.
class PushOrder {
 public:
  explicit PushOrder(const RuleSet& set);
  // Why `later` cannot be met ahead of `rule`, which stands before it; "": it can.
  std::string conflict(uint32_t rule, uint32_t later) const;

 private:
  // What a rule does, as far as its place among others counts. Parts of a packet are bits.
  struct Effect {
    uint32_t reads = 0, writes = 0;
    bool ends = false;     // packets go on without the rules behind it
    bool decides = false;  // some do, or are dropped
    bool ipv4 = false, ipv6 = false;
    std::bitset<256> protocols;
  };
  static Effect effect_of(const Rule& rule);
  // No packet meets both.
  bool apart(uint32_t rule, uint32_t later) const;

  const RuleSet& set_;
  std::vector<Effect> effects_;
  uint32_t written_ = 0;  // by any rule: what a key asks for may be another thing at each of them
};

}  // namespace fettle
