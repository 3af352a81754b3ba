// Judges the kernel: version, options, modules, known bugs, and what this process may do.
#pragma once

#include "workers/doctor_facts.h"
#include "workers/doctor_finding.h"
#include "workers/doctor_plan.h"

namespace fettle {

Findings judge_kernel(const HostFacts& facts, const DoctorPlan& plan);
Findings judge_bugs(const HostFacts& facts, const DoctorPlan& plan);
// Capability, socket buffer, and who has the queues.
Findings judge_queues(const HostFacts& facts, const DoctorPlan& plan);

}  // namespace fettle
