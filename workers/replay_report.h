// The summary of a replay, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "workers/replay_run.h"

namespace fettle {

// names: of the rules, as in Program::rule_names().
std::string replay_table(const ReplaySummary& summary, const std::vector<std::string>& names);
std::string replay_json(const ReplaySummary& summary, const std::vector<std::string>& names);

}  // namespace fettle
