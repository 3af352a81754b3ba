// A RunStatus (run_status.h) in Prometheus' text format, version 0.0.4, through prometheus-cpp:
// what `fettle status` shows, and made of the same list, as metrics.
//
// Counters of queues go on where workers are replaced, and queues are taken over. Those of rules
// do so beyond `fettle status`, too: by name, over reloads, as long as all programs in between have
// a rule of that name. Rules of one name are one.
#pragma once

#include <span>
#include <string>

#include "core/result.h"
#include "workers/run_status.h"

namespace fettle {

// More than so many rules are not told apart: each would be two series of a database.
inline constexpr size_t kMostRuleMetrics = 10'000;

// `rules`: hits and misses by name. The rules of the status are only counted. Errors: kSoftware
// (the library threw).
Result<std::string> metrics_text(const RunStatus& status, std::span<const RuleReport> rules);

}  // namespace fettle
