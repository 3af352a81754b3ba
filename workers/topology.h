// Which CPUs there are for workers, through hwloc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace fettle {

// The CPUs that this process may run on, by the kernel's numbers, in the topology's order: one of
// each core first, so that two workers share a core only when there are more workers than cores.
Result<std::vector<int>> usable_cpus();

// "0,2-3": a list as taskset(1) writes it, in the order given. Each must be one of `usable`.
Result<std::vector<int>> parse_cpu_list(std::string_view text, const std::vector<int>& usable);

std::string format_cpu_list(const std::vector<int>& cpus);

}  // namespace fettle
