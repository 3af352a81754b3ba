#include "workers/doctor_plan.h"

#include <fmt/format.h>

namespace fettle {
namespace {

void read_step(const Rule& rule, const Step& step, DoctorPlan* plan) {
  if (const auto* mark = std::get_if<MarkStep>(&step.what)) {
    plan->marks.push_back({mark->value, mark->mask, rule.name, step.where.line});
  }
  if (const auto* set = std::get_if<SetStep>(&step.what)) {
    for (const auto& assignment : set->assignments) {
      if (assignment.field == Field::kSrc || assignment.field == Field::kDst) {
        plan->moves_addresses = true;
      }
    }
  }
  if (const auto* translate = std::get_if<TranslateStep>(&step.what)) {
    if (!translate->anywhere && translate->from == Origin::kNetwork) plan->moves_addresses = true;
  }
}

}  // namespace

std::string DoctorPlan::queue_range() const {
  return first_queue == last_queue ? fmt::format("{}", first_queue)
                                   : fmt::format("{}:{}", first_queue, last_queue);
}

void read_needs(const LoadedRules& rules, const std::string& file, DoctorPlan* plan) {
  plan->rules = file;
  plan->needs = rules.program.needs();
  const RuleSet& set = rules.parsed.set;
  if (set.defaults.bypass_mark) {
    plan->marks.push_back(
        {set.defaults.bypass_mark->value, set.defaults.bypass_mark->mask, "bypass-mark", 0});
  }
  for (const Rule& rule : set.rules) {
    for (const Step& step : rule.steps) read_step(rule, step, plan);
  }
}

}  // namespace fettle
