// What a supervisor says of itself: what runs, what is in force, what was counted and lost. It
// fills a RunStatus; `fettle status`, its JSON and the summary at the end are all made of that.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace fettle {

enum class CounterGroup : uint8_t { kTraffic, kLoss, kStreams, kOther };
std::string_view counter_group_name(CounterGroup group);

struct QueueCounters {
#define QUEUE_COUNTER(name, group, prose, metric, label) uint64_t name = 0;
#include "workers/queue_counters.def"
#undef QUEUE_COUNTER
};
struct QueueCounter {
  std::string_view name;
  CounterGroup group;
  std::string_view prose;
  uint64_t QueueCounters::*value;
  std::string_view metric;  // without "fettle_"
  std::string_view label;   // its value, where several counters share a metric
};
std::span<const QueueCounter> queue_counters();

// As the kernel and the worker have them, not as they were asked for.
struct SettingsReport {
  uint32_t length = 0;      // shorter while an overload lasts
  uint32_t copy_range = 0;  // bytes of each packet; 0: metadata only
  bool fail_open = false;
  bool gso = false;
  bool conntrack = false;
  uint64_t receive_buffer = 0;  // bytes

  bool operator==(const SettingsReport&) const = default;
};

struct WorkerReport {
  pid_t pid = 0;      // 0: none
  std::string state;  // "starting", "running", "retiring", "draining", "backing off", "ended",
                      // "handed over"
  uint64_t for_ms = 0;
  uint64_t restart_in_ms = 0;  // while backing off
  uint32_t restarts = 0;
  std::string last_end;  // of the worker before: "killed by signal 9 (Killed)"; empty: none
  int64_t last_end_at = 0;
};

struct QueueReport {
  uint16_t queue = 0;
  std::string cpus;  // "0,2-3"
  SettingsReport settings;
  WorkerReport worker;
  QueueCounters counters;
};

// What firewall rules sent to the queues, all of them together (feed.h).
struct FeedReport {
  uint32_t rules = 0;      // that count, and feed these queues alone
  uint32_t uncounted = 0;  // rules without a counter
  uint32_t beyond = 0;     // rules that feed other queues, too
  bool bypass = true;      // all have it
  uint64_t sent = 0;       // packets, since fettle knows
  uint64_t unqueued = 0;   // of these, at least so many came to no queue: it was full
  uint64_t bypassed = 0;   // at least so many came while no queue was bound
  uint64_t age_ms = 0;     // of this knowledge
  std::string error;       // the rules could not be read
};

struct RuleReport {
  std::string name;
  uint64_t hits = 0;
  uint64_t misses = 0;
};

struct ReloadReport {
  int64_t at = 0;
  int exit = 0;         // 0: adopted; otherwise refused, with this exit status of sysexits(3)
  std::string message;  // warnings, or why it was refused
};

struct ControlReport {
  std::string path;
  uint64_t requests = 0;
  uint64_t malformed = 0;
  uint64_t refused = 0;
  uint64_t cut_off = 0;
};

// Times are seconds since 1970.
struct RunStatus {
  std::string version;
  pid_t pid = 0;
  std::string phase;    // "starting", "running", "reloading", "stopping"
  bool shadow = false;  // packets pass as they came; what is counted is what rules would have done
  int64_t started_at = 0;
  uint64_t up_ms = 0;
  std::string rule_file;
  int64_t loaded_at = 0;
  std::optional<ReloadReport> last_reload;
  ControlReport control;
  std::optional<FeedReport> feed;  // nothing: not read yet
  std::vector<QueueReport> queues;
  std::vector<RuleReport> rules;  // since they were loaded
  uint64_t pushed_rules = 0;      // that the firewall carries out, beside these
};

std::string status_json(const RunStatus& status);

// What people see: `fettle status` (with a time zone's hours), and the table at the end.
std::string status_table(const RunStatus& status);
std::string summary_table(const RunStatus& status);

}  // namespace fettle
