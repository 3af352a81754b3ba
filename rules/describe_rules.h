// What `fettle check` prints.
#pragma once

#include <string>

#include "rules/classifier.h"
#include "rules/program.h"
#include "rules/rule.h"

namespace fettle {

std::string describe_rules(const RuleSet& set, const Needs& needs, const Classifier& classifier);

}  // namespace fettle
