// Which CPUs do what, for who judges and who tunes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "workers/doctor_facts.h"
#include "workers/doctor_plan.h"

namespace fettle {

using Cpus = std::set<int>;

// Those of plan.cpus that workers will run on.
Cpus workers_cpus(const DoctorPlan& plan);
Cpus without(const std::vector<int>& cpus, const Cpus& taken);
// "f" or "1,00000000": a mask as /sys takes it, in words of 32 CPUs.
std::string mask_of(const Cpus& cpus);
// That a device's interrupts come to, and that take what it receives: by RPS, too.
Cpus interrupted(const DeviceFacts& device);
Cpus receiving(const DeviceFacts& device);

}  // namespace fettle
