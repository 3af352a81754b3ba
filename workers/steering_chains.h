// Many rules of iptables, of which a packet is to meet few: they stand in chains of their own, one
// a protocol, in which addresses and ports are halved (by goto, which takes no place on the
// kernel's stack) until a handful is left. Which packets come to some rule is the same as of the
// rules in a row; of those that hold for a packet any may be met first, so all of them have to lead
// to the same target.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/packet.h"
#include "rules/rule.h"

namespace fettle {

struct DividedRule {
  std::string text;      // its words, target included
  std::string protocol;  // "tcp", one that it asks for; "": any may match
  // What it asks of both ends (kSource, kDestination) at most; nothing: any may match.
  std::array<std::optional<Prefix>, 2> addresses;
  std::array<std::optional<Range>, 2> ports;
};

// What asks for the same as the match, which is of all_of alone; `target` ends each. Where that
// would be more than `most` rules, as many as iptables_rules_of() gives, of which it is not said
// what ends they ask for.
std::vector<DividedRule> divided_rules_of(const Match& match, Family family,
                                          const std::string& target, size_t most);

// Of one table: what iptables-restore takes, in its order.
struct ChainText {
  std::string declared, rules, jumps;
  uint32_t numbered = 0;  // chains so far
};

// Behind what `chain` has, so that its packets meet the rules; `asked` ("-i lan ") goes before each
// rule that is in the chain itself. New chains are named as it is, and "-" and three characters.
void add_in_chains(const std::vector<DividedRule>& rules, const std::string& chain,
                   const std::string& asked, ChainText* out);

}  // namespace fettle
