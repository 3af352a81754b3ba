// What `fettle check` prints, and the words that `fettle explain` shares with it.
#pragma once

#include <string>

#include "rules/compiled.h"
#include "rules/rule.h"

namespace fettle {

std::string describe_rules(const RuleSet& set, const Program::Compiled& compiled);
// "translate the address at payload+4 by print-servers"
std::string describe_step(const Step& step);
std::string time_text(uint64_t nanoseconds);  // "20ms", "1.5s"

}  // namespace fettle
