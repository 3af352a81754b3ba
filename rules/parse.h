// TOML text to a rule set. Every key, type, range and word is checked here, and table files are
// read; what needs the whole set (a table's name, reversal) is checked by compile().
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "rules/diagnostic.h"
#include "rules/packet_tests.h"
#include "rules/rule.h"

namespace fettle {

struct Parsed {
  RuleSet set;
  std::vector<PacketTest> tests;  // [[test]], in file order; not for packets' way through the rules
  Sources sources;
  std::vector<Diagnostic> diagnostics;  // in file order; any error means that `set` is of no use
  bool ok() const;
};

// `name` is how messages call the text; table files are looked for beside it.
Parsed parse_rules(std::string_view text, const std::string& name);
// kNoInput: the file cannot be read.
Result<Parsed> parse_rule_file(const std::string& path);

}  // namespace fettle
