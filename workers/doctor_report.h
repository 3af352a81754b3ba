// Findings as text for people and as JSON for scripts.
#pragma once

#include <string>

#include "workers/doctor_finding.h"

namespace fettle {

// A line each, lined up, with what matters and the fix below it; a line of sums at the end.
std::string report_text(const Findings& findings, bool colour);

// {"findings": [{"grade": "bad", "check": …, "found": …, "why": …, "fix": …}, …],
//  "ok": 9, "warn": 1, "bad": 1, "skip": 0}
std::string report_json(const Findings& findings);

size_t count(const Findings& findings, Grade grade);

}  // namespace fettle
