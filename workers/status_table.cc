// RunStatus as people see it.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "workers/amount_text.h"
#include "workers/printable.h"
#include "workers/run_status.h"
#include "workers/text_table.h"

namespace fettle {
namespace {

using Column = TextTable::Column;

std::string count(uint64_t number) { return std::to_string(number); }

std::string indented(std::string_view text) {
  std::string out = "  ";
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

std::string range_of(const RunStatus& status) {
  const uint16_t first = status.queues.front().queue, last = status.queues.back().queue;
  return first == last ? count(first) : fmt::format("{}:{}", first, last);
}

// What the firewall's rules sent, and whether what came to no queue can be told.
std::string feed_lines(const RunStatus& status) {
  if (!status.feed) return "";
  const FeedReport& feed = *status.feed;
  if (!feed.error.empty())
    return fmt::format("firewall not read: {}\n", printable(feed.error, 200));
  std::string out;
  if (feed.rules + feed.uncounted + feed.beyond == 0) {
    out = "firewall no rule feeds these queues\n";
  } else if (feed.rules > 0) {
    out = fmt::format("firewall {} sent {} here\n", plural(feed.rules, "rule"),
                      plural(feed.sent, "packet"));
  }
  constexpr auto kUnknown =
      "firewall {} {}: what passes a full queue cannot be told (fettle doctor)\n";
  if (feed.uncounted > 0) {
    out += fmt::format(kUnknown, plural(feed.uncounted, "rule"),
                       feed.uncounted == 1 ? "has no counter" : "have no counters");
  }
  if (feed.beyond > 0) {
    out += fmt::format(kUnknown, plural(feed.beyond, "rule"),
                       feed.beyond == 1 ? "feeds other queues, too" : "feed other queues, too");
  }
  return out;
}

constexpr std::string_view kShadowLine =
    "SHADOW   every packet passes as it came; counts are of what the rules would do\n";

std::string rules_text(const RunStatus& status) {
  std::string out = plural(status.rules.size(), "rule");
  if (status.pushed_rules > 0)
    out += fmt::format(", {} more by the firewall itself", status.pushed_rules);
  return out;
}

std::string heading(const RunStatus& status) {
  std::string out = fmt::format("fettle {}, process {}: {} for {}\n{}rules    {}: {}, loaded {}\n",
                                printable(status.version), status.pid, printable(status.phase),
                                duration_text(status.up_ms), status.shadow ? kShadowLine : "",
                                printable(status.rule_file, 4096), rules_text(status),
                                moment_text(status.loaded_at));
  if (status.last_reload) {
    const ReloadReport& reload = *status.last_reload;
    out += fmt::format("reload   {} {}\n", reload.exit == 0 ? "adopted" : "refused",
                       moment_text(reload.at));
    if (!reload.message.empty()) out += indented(printable_lines(reload.message)) + "\n";
  }
  out += feed_lines(status);
  const ControlReport& control = status.control;
  if (control.malformed + control.refused + control.cut_off > 0) {
    out += fmt::format("control  {}: {} answered, {} malformed, {} not permitted, {} cut off\n",
                       printable(control.path, 4096), plural(control.requests, "request"),
                       control.malformed, control.refused, control.cut_off);
  }
  return out;
}

std::string worker_table(const RunStatus& status) {
  TextTable table;
  table.add_column("queue", Column::kNumber);
  table.add_column("worker", Column::kNumber);
  table.add_column("CPUs", Column::kText);
  table.add_column("state", Column::kText);
  table.add_column("for", Column::kNumber);
  table.add_column("restarts", Column::kNumber);
  std::string ends;
  for (const QueueReport& queue : status.queues) {
    const WorkerReport& worker = queue.worker;
    std::string state = printable(worker.state);
    if (worker.restart_in_ms > 0)
      state += fmt::format(", {} to go", duration_text(worker.restart_in_ms));
    table.add_row({count(queue.queue), worker.pid > 0 ? std::to_string(worker.pid) : "-",
                   printable(queue.cpus, 40), state, duration_text(worker.for_ms),
                   count(worker.restarts)});
    if (worker.last_end.empty()) continue;
    ends += fmt::format("queue {}, the worker before: {}, {}\n", queue.queue,
                        printable(worker.last_end, 200), moment_text(worker.last_end_at));
  }
  return table.text() + ends;
}

constexpr std::pair<std::string_view, Column> kTraffic[] = {
    {"packets", Column::kNumber},  {"bytes", Column::kNumber},    {"changed", Column::kNumber},
    {"accepted", Column::kNumber}, {"dropped", Column::kNumber},  {"repeated", Column::kIfAny},
    {"requeued", Column::kIfAny},  {"malformed", Column::kIfAny}, {"waiting", Column::kNumber},
};

const QueueCounter& counter_named(std::string_view name) {
  return *std::ranges::find(queue_counters(), name, &QueueCounter::name);
}

std::string traffic_table(const RunStatus& status) {
  TextTable table;
  table.add_column("queue", Column::kNumber);
  for (const auto& [name, column] : kTraffic) table.add_column(name, column);
  std::vector<uint64_t> totals(std::size(kTraffic));
  const auto add = [&](const std::string& queue, auto value_of) {
    std::vector<std::string> cells{queue};
    for (size_t i = 0; i < totals.size(); ++i) cells.push_back(count(value_of(i)));
    table.add_row(std::move(cells));
  };
  for (const QueueReport& queue : status.queues) {
    add(count(queue.queue), [&](size_t i) {
      const uint64_t value = queue.counters.*counter_named(kTraffic[i].first).value;
      totals[i] += value;
      return value;
    });
  }
  if (status.queues.size() > 1) add("all", [&](size_t i) { return totals[i]; });
  return table.text();
}

// Queues in a row with the same settings have one line.
std::string settings_table(const RunStatus& status) {
  TextTable table;
  table.add_column("queue", Column::kNumber);
  table.add_column("length", Column::kNumber);
  table.add_column("copied bytes", Column::kNumber);
  table.add_column("when full", Column::kText);
  table.add_column("GSO", Column::kText);
  table.add_column("conntrack", Column::kText);
  table.add_column("receive buffer", Column::kNumber);
  const auto yes_no = [](bool value) { return std::string(value ? "yes" : "no"); };
  for (auto first = status.queues.begin(); first != status.queues.end();) {
    const SettingsReport& set = first->settings;
    const auto next = std::find_if(first, status.queues.end(),
                                   [&](const QueueReport& other) { return other.settings != set; });
    const uint16_t last = std::prev(next)->queue;
    table.add_row({last == first->queue ? count(last) : fmt::format("{}:{}", first->queue, last),
                   count(set.length), set.copy_range == 0 ? "none" : count(set.copy_range),
                   set.fail_open ? "pass" : "drop", yes_no(set.gso), yes_no(set.conntrack),
                   count(set.receive_buffer)});
    first = next;
  }
  return table.text();
}

std::string reason(const QueueReport& queue, const QueueCounter& counter) {
  if (counter.value != &QueueCounters::socket_full) return std::string(counter.prose);
  return fmt::format("{}, {}", counter.prose,
                     queue.settings.fail_open ? "passed unchanged" : "dropped");
}

// Of all queues together.
void add_feed_rows(const RunStatus& status, TextTable* table) {
  if (!status.feed) return;
  const auto add = [&](uint64_t packets, std::string_view prose) {
    if (packets > 0) table->add_row({range_of(status), count(packets), std::string(prose)});
  };
  const bool open = status.queues.front().settings.fail_open;
  add(status.feed->unqueued, open ? "kernel: the queue was full, passed unchanged; at least so many"
                                  : "kernel: came to no queue, uncounted; at least so many");
  add(status.feed->bypassed,
      status.feed->bypass ? "kernel: fettle did not run, passed unchanged; at least so many"
                          : "kernel: fettle did not run, dropped, or passed by --queue-bypass; at "
                            "least so many");
}

std::string counters_table(const RunStatus& status, CounterGroup group, std::string_view number,
                           std::string_view prose) {
  TextTable table;
  table.add_column("queue", Column::kNumber);
  table.add_column(number, Column::kNumber);
  table.add_column(prose, Column::kText);
  for (const QueueReport& queue : status.queues) {
    for (const QueueCounter& counter : queue_counters()) {
      const uint64_t value = queue.counters.*counter.value;
      const bool batches = counter.value == &QueueCounters::batches;
      if (counter.group != group || value == 0 || batches) continue;
      table.add_row({count(queue.queue), count(value), reason(queue, counter)});
    }
  }
  if (group == CounterGroup::kLoss && !status.queues.empty()) add_feed_rows(status, &table);
  return table.empty() ? "" : table.text();
}

std::string rule_table(const RunStatus& status) {
  TextTable table;
  table.add_column("hits", Column::kNumber);
  table.add_column("misses", Column::kNumber);
  table.add_column("rule", Column::kText);
  for (const RuleReport& rule : status.rules) {
    table.add_row({count(rule.hits), count(rule.misses), printable(rule.name, 200)});
  }
  return table.empty() ? "" : table.text();
}

}  // namespace

std::string status_table(const RunStatus& status) {
  std::string out = heading(status);
  const std::string loss = counters_table(status, CounterGroup::kLoss, "count",
                                          "lost, or passed unchanged: where and why");
  for (const std::string& part :
       {worker_table(status), settings_table(status), traffic_table(status),
        loss.empty() ? "nothing lost\n" : loss,
        counters_table(status, CounterGroup::kStreams, "segments", "TCP streams that rules edit"),
        counters_table(status, CounterGroup::kOther, "count", "what else"), rule_table(status)}) {
    if (!part.empty()) out += "\n" + part;
  }
  return out;
}

}  // namespace fettle
