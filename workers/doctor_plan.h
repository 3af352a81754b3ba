// What `fettle doctor` judges a machine by: what the rules need, and how fettle is to be run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rules/compile.h"
#include "workers/firewall.h"

namespace fettle {

struct PlannedMark {  // that rules set on packets
  uint32_t value = 0;
  uint32_t mask = 0xffffffff;
  std::string what;   // "bypass-mark", or the rule's name
  uint32_t line = 0;  // of the step; 0: the key bypass-mark of [defaults]
};

struct DoctorPlan {
  std::string rules;  // the file; "" where none was given
  Needs needs;        // of no rules where none was given
  std::vector<PlannedMark> marks;
  bool moves_addresses = false;  // writes source or destination addresses of headers
  bool has_queues = false;       // --queue-balance was given:
  uint32_t first_queue = 0;
  uint32_t last_queue = 0xffff;
  std::vector<int> cpus;  // of the workers, in turn
  std::vector<int> usable_cpus;
  bool fail_closed = false;
  bool no_gso = false;

  std::string queue_range() const;  // "0:3", or "0"
  size_t queues() const { return has_queues ? last_queue - first_queue + 1 : 1; }
};

// Enters what the rules need.
void read_needs(const LoadedRules& rules, const std::string& file, DoctorPlan* plan);

}  // namespace fettle
