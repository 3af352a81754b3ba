#include "workers/run_status.h"

#include <array>

#include "workers/json.h"

namespace fettle {
namespace {

constexpr QueueCounter kCounters[] = {
#define QUEUE_COUNTER(name, group, prose, metric, label) \
  {#name, CounterGroup::group, prose, &QueueCounters::name, metric, label},
#include "workers/queue_counters.def"
#undef QUEUE_COUNTER
};

std::string settings_json(const SettingsReport& settings) {
  return JsonObject()
      .add("length", settings.length)
      .add("copy_range", settings.copy_range)
      .add("fail_open", settings.fail_open)
      .add("gso", settings.gso)
      .add("conntrack", settings.conntrack)
      .add("receive_buffer", settings.receive_buffer)
      .text();
}

std::string worker_json(const WorkerReport& worker) {
  return JsonObject()
      .add("pid", worker.pid)
      .add("state", worker.state)
      .add("for_ms", worker.for_ms)
      .add("restart_in_ms", worker.restart_in_ms)
      .add("restarts", worker.restarts)
      .add("last_end", worker.last_end)
      .add("last_end_at", worker.last_end_at)
      .text();
}

std::string queue_json(const QueueReport& queue) {
  std::array<JsonObject, 4> groups;
  for (const QueueCounter& counter : kCounters) {
    groups[static_cast<size_t>(counter.group)].add(counter.name, queue.counters.*counter.value);
  }
  JsonObject out;
  out.add("queue", queue.queue)
      .add("cpus", queue.cpus)
      .add_json("settings", settings_json(queue.settings))
      .add_json("worker", worker_json(queue.worker));
  for (size_t i = 0; i < groups.size(); ++i) {
    out.add_json(counter_group_name(static_cast<CounterGroup>(i)), groups[i].text());
  }
  return out.text();
}

std::string reload_json(const std::optional<ReloadReport>& reload) {
  if (!reload) return "null";
  return JsonObject()
      .add("at", reload->at)
      .add("exit", reload->exit)
      .add("message", reload->message)
      .text();
}

std::string control_json(const ControlReport& control) {
  return JsonObject()
      .add("path", control.path)
      .add("requests", control.requests)
      .add("malformed", control.malformed)
      .add("refused", control.refused)
      .add("cut_off", control.cut_off)
      .text();
}

std::string feed_json(const std::optional<FeedReport>& feed) {
  if (!feed) return "null";
  return JsonObject()
      .add("rules", feed->rules)
      .add("uncounted", feed->uncounted)
      .add("beyond", feed->beyond)
      .add("bypass", feed->bypass)
      .add("sent", feed->sent)
      .add("unqueued", feed->unqueued)
      .add("bypassed", feed->bypassed)
      .add("age_ms", feed->age_ms)
      .add("error", feed->error)
      .text();
}

}  // namespace

std::string_view counter_group_name(CounterGroup group) {
  constexpr std::string_view kNames[] = {"traffic", "loss", "streams", "other"};
  return kNames[static_cast<size_t>(group)];
}

std::span<const QueueCounter> queue_counters() { return kCounters; }

std::string status_json(const RunStatus& status) {
  std::vector<std::string> queues, rules;
  for (const QueueReport& queue : status.queues) queues.push_back(queue_json(queue));
  for (const RuleReport& rule : status.rules) {
    rules.push_back(JsonObject()
                        .add("name", rule.name)
                        .add("hits", rule.hits)
                        .add("misses", rule.misses)
                        .text());
  }
  return JsonObject()
      .add("version", status.version)
      .add("pid", status.pid)
      .add("phase", status.phase)
      .add("shadow", status.shadow)
      .add("started_at", status.started_at)
      .add("up_ms", status.up_ms)
      .add("rule_file", status.rule_file)
      .add("loaded_at", status.loaded_at)
      .add_json("last_reload", reload_json(status.last_reload))
      .add_json("control", control_json(status.control))
      .add_json("feed", feed_json(status.feed))
      .add_json("queues", json_array(queues))
      .add_json("rules", json_array(rules))
      .add("pushed_rules", status.pushed_rules)
      .text();
}

}  // namespace fettle
