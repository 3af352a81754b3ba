// Rules that a firewall carries out by itself: they cost no queue.
//
// The firewall meets them ahead of its filters for the queue, in the order of the file. One behind
// a rule that stays with the queue is met too early by that, so it has to be one that may change
// places with it: no packet meets both, or neither sees what the other writes. Whoever reads the
// queue runs the rest of the set alone (without_pushed()).
#pragma once

#include <array>
#include <expected>
#include <functional>
#include <string>

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

// Why `later` cannot be met ahead of `rule`, which stands before it; "": it can.
std::string push_conflict(const RuleSet& set, const Rule& rule, const Rule& later);

}  // namespace fettle
