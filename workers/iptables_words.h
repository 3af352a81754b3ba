// What iptables' rules ask of a packet: a match's conditions in its options, in as many rules as
// that takes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/packet.h"
#include "rules/rule.h"

namespace fettle {

// For a match of all_of alone; those of one family. "" asks for nothing. Where the match has too
// much to ask, less is asked.
std::vector<std::string> iptables_rules_of(const Match& match, Family family);
// The same, nothing where the rules would hold for other packets than the match.
std::optional<std::vector<std::string>> iptables_exactly(const Match& match, Family family);

}  // namespace fettle
