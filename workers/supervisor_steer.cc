// The supervisor's part that has the firewall queue what the rules can matter to (run --steer).
#include <spdlog/spdlog.h>

#include "workers/supervisor.h"

namespace fettle {

SteeringTarget Supervisor::steering_target(const SteeringPlan& plan) const {
  return {
      .first = options_.first_queue,
      .last = options_.last_queue,
      .spread = plan.streams || plan.keeps_flow ? SteeringSpread::kAddress : SteeringSpread::kCpu,
      .bypass = options_.fail_open.value_or(true),
      .name = options_.steer->name};
}

// Before workers change: with push-down they leave to the firewall what it would then not do.
Result<void> Supervisor::try_steering(const SteeringPlan& plan) const {
  if (!options_.steer) return {};
  return check_steering(plan, steering_target(plan), options_.steer->tool);
}

// When the queues are bound and read, so that no packet finds nobody there.
Result<void> Supervisor::enter_steering() {
  if (!options_.steer) return {};
  const SteeringTarget target = steering_target(steering_);
  if (const auto entered = apply_steering(steering_, target, options_.steer->tool); !entered) {
    return entered;
  }
  size_t filters = 0;
  for (const SteeringPoint& point : steering_.points) filters += point.filters.size();
  spdlog::info("steering: {} filter{} at {} hook{}, table or chains {}", filters,
               filters == 1 ? "" : "s", steering_.points.size(),
               steering_.points.size() == 1 ? "" : "s", target.name);
  return {};
}

// Before the queues are drained: what comes later is to pass the firewall as if fettle were not
// there.
void Supervisor::leave_steering() {
  if (!options_.steer) return;
  const auto left = remove_steering(options_.steer->name, options_.steer->tool);
  if (!left)
    spdlog::error("steering: {}; its rules are left in the firewall", left.error().message);
}

}  // namespace fettle
