// Whether a rule file uses the whole language.
#pragma once

#include <string>
#include <vector>

#include "rules/rule.h"

namespace fettle::fuzz {

// Match keys, steps and their parameters in the vocabulary that the file lacks: "step sip",
// "parameter sip.reverse". A parameter counts on the line that names its owner.
std::vector<std::string> missing_words(const RuleSet& set, const std::string& text);

}  // namespace fettle::fuzz
