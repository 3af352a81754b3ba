// fettle doctor --tune: what of this machine would serve fettle better another way, as text for a
// shell. Only what has an effect on packets that are forwarded through queues, and would change
// something; each with its reason, and with who says so: a measurement of fettle's own, or the
// kernel's documentation alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workers/doctor_facts.h"
#include "workers/doctor_plan.h"

namespace fettle {

struct Tuning {
  enum class Scope : uint8_t {
    kNamespace,  // this network namespace's, or its devices'
    kMachine,    // everybody's
  };
  Scope scope = Scope::kNamespace;
  std::string what;    // "GRO of eth0"
  std::string now;     // "off"
  std::string wanted;  // "on"
  std::string why;     // sentences
  std::string source;  // who says so
  std::vector<std::string> commands;
};

// Once their commands have been run it finds them no more.
std::vector<Tuning> find_tunings(const HostFacts& facts, const DoctorPlan& plan);

std::string tuning_script(const std::vector<Tuning>& tunings, const HostFacts& facts,
                          const DoctorPlan& plan);

}  // namespace fettle
