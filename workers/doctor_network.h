// Judges what lies beside the firewall: bridges, forwarding, checks of source addresses, devices,
// and which CPUs do what.
#pragma once

#include "workers/doctor_facts.h"
#include "workers/doctor_finding.h"
#include "workers/doctor_plan.h"

namespace fettle {

Findings judge_network(const HostFacts& facts, const DoctorPlan& plan);
Findings judge_cpus(const HostFacts& facts, const DoctorPlan& plan);

}  // namespace fettle
