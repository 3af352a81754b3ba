// A steering plan into the firewall of this network namespace, and out of it again.
#pragma once

#include <string>

#include "core/result.h"
#include "workers/steering_text.h"

namespace fettle {

// Enters the rules, or changes what was entered under the same name before to these, in one
// transaction a family or table; nothing of anybody else's is touched. Errors (kUnavailable): no
// such tool here, or what it says.
Result<void> apply_steering(const SteeringPlan& plan, const SteeringTarget& target,
                            SteeringTool tool);
// Whether it would, and the errors that it would have; changes nothing.
Result<void> check_steering(const SteeringPlan& plan, const SteeringTarget& target,
                            SteeringTool tool);

// Takes the rules of that name away; none is no error. nft's table and its base chains stay, empty:
// to delete one drops the packets that wait in any queue of this namespace.
Result<void> remove_steering(std::string_view name, SteeringTool tool);

}  // namespace fettle
