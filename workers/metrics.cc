#include "workers/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <exception>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace fettle {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

constexpr std::string_view kStates[] = {"starting", "running",     "retiring",   "draining",
                                        "ended",    "backing off", "handed over"};
constexpr std::string_view kPhases[] = {"starting", "running", "reloading", "stopping"};

// Metrics that several counters of a queue share.
struct SharedMetric {
  std::string_view name;
  std::string_view label;
  std::string_view help;
};
constexpr SharedMetric kShared[] = {
    {"verdicts_total", "verdict", "packets by the verdict that they got"},
    {"lost_packets_total", "reason",
     "packets that were lost, or passed without having met the rules, by place and reason"},
    {"unserved_packets_total", "reason",
     "packets whose delay, record or edit could not be made, and segments left to their senders "
     "to repeat for it"}};

const SharedMetric* shared_metric(std::string_view name) {
  const auto* found = std::ranges::find(kShared, name, &SharedMetric::name);
  return found == std::end(kShared) ? nullptr : found;
}

// A family of the format: one name, one type, a series for each set of labels.
class Families {
 public:
  void add(std::string_view name, std::string_view help, uint64_t value,
           const Labels& labels = {}) {
    add_number(name, help, static_cast<double>(value), labels);
  }
  void add_number(std::string_view name, std::string_view help, double value,
                  const Labels& labels = {}) {
    const auto [place, is_new] = places_.try_emplace(std::string(name), families_.size());
    const bool counts = name.ends_with("_total");
    if (is_new) {
      families_.push_back(
          {.name = fmt::format("fettle_{}", name),
           .help = std::string(help),
           .type = counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge,
           .metric = {}});
    }
    prometheus::ClientMetric& metric = families_[place->second].metric.emplace_back();
    for (const auto& [label, text] : labels) metric.label.push_back({std::string(label), text});
    (counts ? metric.counter.value : metric.gauge.value) = value;
  }
  const std::vector<prometheus::MetricFamily>& all() const { return families_; }

 private:
  std::vector<prometheus::MetricFamily> families_;
  std::map<std::string, size_t> places_;
};

// "kernel" of "kernel: the queue was full, dropped".
std::string place_of(std::string_view prose) {
  return std::string(prose.substr(0, std::min(prose.find(':'), prose.size())));
}

void add_counters(Families* out, const QueueReport& queue, const std::string& number) {
  for (const QueueCounter& counter : queue_counters()) {
    const SharedMetric* shared = shared_metric(counter.metric);
    Labels labels{{"queue", number}};
    if (counter.group == CounterGroup::kLoss && shared) {
      labels.emplace_back("place", place_of(counter.prose));
    }
    if (shared) labels.emplace_back(shared->label, std::string(counter.label));
    out->add(counter.metric, shared ? shared->help : counter.prose, queue.counters.*counter.value,
             labels);
  }
}

void add_queue(Families* out, const QueueReport& queue) {
  const std::string number = std::to_string(queue.queue);
  const Labels labels{{"queue", number}};
  add_counters(out, queue, number);
  const SettingsReport& set = queue.settings;
  out->add("queue_length_packets", "packets that may wait in the queue, fewer in an overload",
           set.length, labels);
  out->add("queue_copy_range_bytes", "bytes of each packet that are copied; 0: none",
           set.copy_range, labels);
  out->add("queue_receive_buffer_bytes", "the socket's buffer", set.receive_buffer, labels);
  out->add("queue_fail_open", "1: a full queue lets packets pass unchanged", set.fail_open, labels);
  out->add("queue_gso", "1: super-packets come whole", set.gso, labels);
  out->add("queue_conntrack", "1: the kernel tells its own changes of sequence numbers",
           set.conntrack, labels);
  out->add("worker_restarts_total", "workers that died, and had a successor", queue.worker.restarts,
           labels);
  for (const std::string_view state : kStates) {
    out->add("worker_state", "1: the state that the queue's worker is in",
             queue.worker.state == state, {{"queue", number}, {"state", std::string(state)}});
  }
  if (queue.worker.last_end_at > 0) {
    out->add("worker_last_end_timestamp_seconds", "when the worker before ended, since 1970",
             static_cast<uint64_t>(queue.worker.last_end_at), labels);
  }
}

// Of all queues together: a firewall's rule does not say which of them it took.
void add_feed(Families* out, const FeedReport& feed) {
  const std::string_view rules =
      "firewall's rules that feed the queues: counted ones; those without a counter, and those "
      "that "
      "feed other queues, too, of which what passed unseen cannot be told";
  out->add("firewall_rules", rules, feed.rules, {{"kind", "counted"}});
  out->add("firewall_rules", rules, feed.uncounted, {{"kind", "uncounted"}});
  out->add("firewall_rules", rules, feed.beyond, {{"kind", "beyond"}});
  out->add("firewall_readable", "0: the firewall's rules could not be read, the last time",
           feed.error.empty());
  out->add_number("firewall_age_seconds", "since the firewall's rules were read",
                  static_cast<double>(feed.age_ms) / 1000);
  out->add("firewall_sent_packets_total", "packets that counted rules sent to the queues",
           feed.sent);
  out->add("unqueued_packets_total",
           "packets that the firewall sent and no queue took, at least so many: it was full, and "
           "with fail-open they passed unchanged",
           feed.unqueued);
  out->add("bypassed_packets_total",
           "packets that the firewall sent while fettle did not run, at least so many: with bypass "
           "they passed unchanged",
           feed.bypassed);
}

void add_rules(Families* out, const RunStatus& status, std::span<const RuleReport> rules) {
  out->add("rules", "rules in force", status.rules.size());
  out->add("rules_loaded_timestamp_seconds", "when the rules in force were read, since 1970",
           static_cast<uint64_t>(status.loaded_at));
  out->add("last_reload_successful", "0: the last reload was refused",
           !status.last_reload || status.last_reload->exit == 0);
  out->add("last_reload_exit_status", "of the last reload, as in sysexits(3); 0: adopted",
           status.last_reload ? static_cast<uint64_t>(status.last_reload->exit) : 0);
  out->add("last_reload_timestamp_seconds", "when rules were read last, since 1970, or refused",
           static_cast<uint64_t>(status.last_reload ? status.last_reload->at : status.loaded_at));
  for (const RuleReport& rule : rules) {
    const Labels labels{{"rule", rule.name}};
    out->add("rule_hits_total", "packets that the rule matched", rule.hits, labels);
    out->add("rule_misses_total", "steps of the rule that could not be applied", rule.misses,
             labels);
  }
}

void add_process(Families* out, const RunStatus& status) {
  out->add("build_info", "1, with the version", 1, {{"version", status.version}});
  out->add("start_time_seconds", "when the supervisor began, since 1970",
           static_cast<uint64_t>(status.started_at));
  out->add("shadow",
           "1: every packet passes as it came, and counters tell what the rules would have done",
           status.shadow);
  for (const std::string_view phase : kPhases) {
    out->add("phase", "1: what the supervisor does now", status.phase == phase,
             {{"phase", std::string(phase)}});
  }
}

}  // namespace

Result<std::string> metrics_text(const RunStatus& status, std::span<const RuleReport> rules) try {
  Families out;
  add_process(&out, status);
  add_rules(&out, status, rules);
  for (const QueueReport& queue : status.queues) add_queue(&out, queue);
  if (status.feed) add_feed(&out, *status.feed);
  return prometheus::TextSerializer().Serialize(out.all());
} catch (const std::exception& error) {
  return fail(ErrorCode::kSoftware, fmt::format("metrics: {}", error.what()));
}

}  // namespace fettle
