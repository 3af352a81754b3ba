// What the supervisor says of itself (run_status.h).
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "core/counters.h"
#include "workers/queue_owner.h"
#include "workers/supervisor.h"
#include "workers/topology.h"
#include "workers/version.h"

namespace fettle {
namespace {

using std::chrono::milliseconds;

constexpr uint32_t kWholePackets = 2;  // QueueStatus::copy_mode

uint64_t milliseconds_between(std::chrono::steady_clock::time_point from,
                              std::chrono::steady_clock::time_point to) {
  return static_cast<uint64_t>(
      std::max<int64_t>(std::chrono::ceil<milliseconds>(to - from).count(), 0));
}

void add_page(QueueCounters& out, WorkerPage& page) {
  const ProgramCounters program = total(page);
  LoopCounters& loop = page.loop;
  out.packets = counted(loop.packets);
  out.bytes = program.bytes;
  out.changed = program.changed;
  out.accepted = program.accepted;
  out.dropped = program.dropped;
  out.repeated = program.repeated;
  out.requeued = program.requeued;
  out.malformed = program.malformed;
  out.unreadable = counted(loop.malformed_messages);
  out.given_up = counted(loop.given_up);
  out.recovered = counted(loop.recovered);
  out.not_held = counted(loop.not_held);
  out.not_captured = counted(loop.not_captured);
  out.to_repeat = counted(loop.stream_dropped);
  out.untracked = counted(loop.stream_untracked);
  out.late_verdicts = counted(loop.stale_verdicts);
  out.refused_verdicts = counted(loop.refused_verdicts);
  out.failed_sends = counted(loop.failed_sends);
  out.stream_edited = counted(loop.stream_edited);
  out.stream_split = counted(loop.stream_split);
  out.stream_held = counted(loop.stream_held);
  out.stream_timed_out = counted(loop.stream_timed_out);
  out.batches = counted(loop.batches);
  out.overloads = counted(loop.overloads);
  out.held = counted(loop.held);
  out.captured = counted(loop.captured);
}

}  // namespace

std::string Supervisor::worker_state(const Queue& queue) const {
  if (!is_ours(queue)) return "handed over";
  if (queue.former) return "retiring";
  if (queue.worker.pid <= 0) return phase_ == Phase::kStopping ? "ended" : "backing off";
  if (queue.shared().running.load(std::memory_order_relaxed) != queue.worker.pid) return "starting";
  switch (queue.told) {
    case Order::kRetire:
      return "retiring";
    case Order::kDrain:
      return "draining";
    case Order::kRun:
      break;
  }
  return "running";
}

QueueReport Supervisor::queue_report(const Queue& queue,
                                     const std::vector<QueueStatus>& kernel) const {
  const auto now = Clock::now();
  QueueReport out;
  out.queue = queue.settings.queue;
  out.cpus = format_cpu_list(queue.cpus);
  const uint32_t length = queue.shared().queue_length.load(std::memory_order_relaxed);
  out.settings = {.length = length > 0 ? length : queue.settings.length,
                  .copy_range = queue.settings.copy_range,
                  .fail_open = queue.settings.fail_open,
                  .gso = queue.settings.gso,
                  .conntrack = queue.settings.conntrack,
                  .receive_buffer = queue.socket.receive_buffer()};
  const bool dead = queue.worker.pid <= 0;
  out.worker = {.pid = std::max(queue.worker.pid, 0),
                .state = worker_state(queue),
                .for_ms = milliseconds_between(dead ? queue.ended : queue.began, now),
                .restart_in_ms = dead && phase_ != Phase::kStopping
                                     ? milliseconds_between(now, queue.restart_at)
                                     : 0,
                .restarts = queue.restarts,
                .last_end = queue.last_end,
                .last_end_at = queue.last_end_at};
  add_page(out.counters, queue.shared());
  out.counters.quarantined = queue.quarantined;
  out.counters.full_looks = queue.full_looks;
  out.counters.left = queue.left;
  out.counters.queue_full = queue.seen.queue_dropped;
  out.counters.socket_full = queue.seen_socket_drops;
  for (const QueueStatus& row : kernel) {
    if (row.queue != out.queue || row.port_id != queue.socket.port_id()) continue;
    out.settings.copy_range = row.copy_mode == kWholePackets ? row.copy_range : 0;
    out.counters.waiting = row.waiting;
    out.counters.queue_full = row.queue_dropped;
    if (const auto socket = find_netlink_socket(row.port_id)) {
      out.counters.socket_full = socket->drops;
    }
  }
  return out;
}

std::vector<RuleReport> Supervisor::rule_reports() const {
  std::vector<RuleReport> out;
  const std::vector<std::string>& names = program_->rule_names();
  for (const std::string& name : names) out.push_back({.name = name, .hits = 0, .misses = 0});
  for (const Queue& queue : queues_) {
    // A worker that a reload did not get to counts under other rules.
    if (queue.worker.program != program_.get()) continue;
    auto* rules = queue.worker.rules.as<RuleCounters>();
    if (!rules) continue;
    for (size_t i = 0; i < options_.threads * names.size(); ++i) {
      out[i % names.size()].hits += counted(rules[i].hits);
      out[i % names.size()].misses += counted(rules[i].misses);
    }
  }
  return out;
}

RunStatus Supervisor::status(Rules rules) const {
  constexpr const char* kPhases[] = {"starting", "running", "reloading", "stopping"};
  RunStatus out;
  out.version = version();
  out.pid = getpid();
  out.shadow = options_.shadow;
  out.phase = kPhases[static_cast<size_t>(phase_)];
  out.started_at = started_at_;
  out.up_ms = milliseconds_between(began_, Clock::now());
  out.rule_file = options_.rules;
  out.loaded_at = loaded_at_;
  out.last_reload = last_reload_;
  if (control_) {
    const ControlServer::Counts& counts = control_->counts();
    out.control = {.path = control_->path(),
                   .requests = counts.requests,
                   .malformed = counts.malformed,
                   .refused = counts.refused,
                   .cut_off = counts.cut_off};
  }
  out.feed = feed_.report();
  const std::vector<QueueStatus> kernel = read_queue_status();
  for (const Queue& queue : queues_) out.queues.push_back(queue_report(queue, kernel));
  if (rules == Rules::kEach) {
    out.rules = rule_reports();
  } else {
    out.rules.resize(program_->rule_names().size());
  }
  out.pushed_rules = static_cast<uint64_t>(std::ranges::count(steering_.hindrances, ""));
  return out;
}

}  // namespace fettle
