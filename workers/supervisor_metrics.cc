// Metrics for Prometheus (metrics_server.h), and what the rules counted over reloads.
#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include <spdlog/spdlog.h>

#include "core/counters.h"
#include "workers/metrics.h"
#include "workers/supervisor.h"

namespace fettle {
namespace {

constexpr std::chrono::milliseconds kBetweenTries{200};

void add(RuleReport* to, RuleCounters& from) {
  to->hits += counted(from.hits);
  to->misses += counted(from.misses);
}

}  // namespace

Result<void> Supervisor::open_metrics() {
  if (!options_.metrics) return {};
  auto listening = listen_at(*options_.metrics);
  if (!listening) return std::unexpected(listening.error());
  metrics_ = std::make_unique<MetricsServer>(
      std::move(*listening), [this] { return metrics_page(); }, [this] { shed(); }, sandbox_);
  metrics_->start_due(Clock::now());
  spdlog::info("metrics: http://{}/metrics", options_.metrics->to_string());
  return {};
}

// In a takeover the port may be the former's until it ends.
void Supervisor::open_metrics_due(Clock::time_point now) {
  if (!options_.metrics || metrics_ || phase_ != Phase::kRunning || now < metrics_again_) return;
  const bool first = metrics_again_ == Clock::time_point{};
  metrics_again_ = now + kBetweenTries;
  if (auto opened = open_metrics(); !opened && first) {
    spdlog::info("{}; trying again until it is free", opened.error().message);
  }
}

// In the child that serves them: what is the supervisor's, rules and queues, is not kept there.
void Supervisor::shed() {
  queues_.clear();
  estates_.clear();
  program_.reset();
  next_program_.reset();
  if (control_) control_->forget();
  feed_.forget();
}

std::string Supervisor::metrics_page() {
  ask_for_feed(Clock::now());  // the next page has it
  const bool each = program_->rule_names().size() <= kMostRuleMetrics;
  auto text =
      metrics_text(status(Rules::kNumber), each ? rules_by_name() : std::vector<RuleReport>{});
  if (text) return std::move(*text);
  spdlog::error("{}", text.error().message);
  return {};
}

// What the rules counted under a former program, by name, for those of the worker's. It runs
// already: the last row is none of its threads'.
void Supervisor::carry_rules(const Child& former, const Child& worker) const {
  auto* from = former.rules.as<RuleCounters>();
  auto* to = worker.rules.as<RuleCounters>();
  if (!from || !to || from == to || former.program == worker.program || !former.program) return;
  const std::vector<std::string>& old_names = former.program->rule_names();
  // Nobody sees them, and to go through them takes time.
  if (std::max(old_names.size(), worker.program->rule_names().size()) > kMostRuleMetrics) return;
  std::map<std::string_view, RuleReport> counted_so_far;
  for (size_t i = 0; i < (options_.threads + 1) * old_names.size(); ++i) {
    add(&counted_so_far[old_names[i % old_names.size()]], from[i]);
  }
  const std::vector<std::string>& names = worker.program->rule_names();
  for (size_t i = 0; i < names.size(); ++i) {
    const auto found = counted_so_far.find(names[i]);
    if (found == counted_so_far.end()) continue;
    RuleCounters& earlier = to[options_.threads * names.size() + i];
    bump(earlier.hits, found->second.hits);
    bump(earlier.misses, found->second.misses);
    counted_so_far.erase(found);  // another rule of this name adds no more
  }
}

// In a reload some workers have the new rules and others the old ones: what not all have is left
// out, since half of a count would look like a counter that went back.
std::vector<RuleReport> Supervisor::rules_by_name() const {
  std::map<std::string_view, std::pair<RuleReport, size_t>> found;  // and how many queues have it
  size_t number = 0;
  for (const Queue& queue : queues_) {
    auto* rules = queue.worker.rules.as<RuleCounters>();
    if (!queue.worker.program || !rules) continue;
    ++number;
    const std::vector<std::string>& names = queue.worker.program->rule_names();
    for (size_t i = 0; i < (options_.threads + 1) * names.size(); ++i) {
      auto& [report, queues] = found[names[i % names.size()]];
      queues = number;
      add(&report, rules[i]);
    }
  }
  std::vector<RuleReport> out;
  for (auto& [name, both] : found) {
    if (both.second != number) continue;
    out.push_back(
        {.name = std::string(name), .hits = both.first.hits, .misses = both.first.misses});
  }
  return out;
}

}  // namespace fettle
