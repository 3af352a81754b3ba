// Filters that differ in addresses and ports alone, as one rule of nft: it looks up all of these at
// once in a set of concatenations, at a cost that hardly grows with their number (Linux 5.6).
#pragma once

#include <string>
#include <vector>

#include "rules/steering.h"

namespace fettle {

struct NftRule {
  std::string asked;               // ends with a space where it asks for something
  std::vector<std::string> names;  // of rules that want it
};

// Rules that hold for the packets that a filter holds for, and for no other; the order is none.
std::vector<NftRule> nft_rules_in_sets(const std::vector<const SteeringFilter*>& filters);

}  // namespace fettle
