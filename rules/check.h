// What the compiler makes sure of before it compiles: errors for steps that can never be applied,
// warnings for rules that can never match or never be reached.
#pragma once

#include <vector>

#include "rules/diagnostic.h"
#include "rules/rule.h"

namespace fettle {

void check_rules(const RuleSet& set, std::vector<Diagnostic>* diagnostics);

// Families and protocols that a match leaves possible, as far as its own keys say.
struct Scope {
  bool ipv4 = true;
  bool ipv6 = true;
  std::vector<bool> protocols = std::vector<bool>(256, true);
};
Scope scope_of(const Match& match);

// Whether steps of it are done to TCP streams.
bool edits_streams(const Rule& rule);

}  // namespace fettle
