// Judges the firewall: which rules feed the queues, and what keeps packets from them.
#pragma once

#include "workers/doctor_facts.h"
#include "workers/doctor_finding.h"
#include "workers/doctor_plan.h"

namespace fettle {

// Rules that feed the queues of the plan, all of them where it names no queues.
std::vector<const FirewallRule*> feeding(const Firewall& firewall, const DoctorPlan& plan);

Findings judge_queue_rules(const HostFacts& facts, const DoctorPlan& plan);
// Connections that leave netfilter by a shortcut.
Findings judge_offload(const HostFacts& facts, const DoctorPlan& plan);
// Where edited TCP streams are taken, against connection tracking and NAT.
Findings judge_streams(const HostFacts& facts, const DoctorPlan& plan);
// Bits of marks that rules set, against everybody else's.
Findings judge_marks(const HostFacts& facts, const DoctorPlan& plan);

}  // namespace fettle
