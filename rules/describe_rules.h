// What `fettle check` prints, and the words that `fettle explain` shares with it.
#pragma once

#include <string>

#include "rules/classifier.h"
#include "rules/program.h"
#include "rules/rule.h"

namespace fettle {

std::string describe_rules(const RuleSet& set, const Needs& needs, const Classifier& classifier);
// "translate the address at payload+4 by print-servers"
std::string describe_step(const Step& step);

}  // namespace fettle
