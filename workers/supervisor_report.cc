// What the supervisor tells: losses as the kernel counts them, and the summary at the end.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <spdlog/spdlog.h>

#include "core/counters.h"
#include "workers/queue_owner.h"
#include "workers/supervisor.h"
#include "workers/worker.h"

namespace fettle {
namespace {

constexpr auto kQuiet = std::chrono::seconds(10);  // between two lines about one queue's losses

}  // namespace

void Supervisor::report_losses(Clock::time_point now) {
  next_report_ = now + kReportInterval;
  for (const QueueStatus& row : read_queue_status()) {
    for (Queue& queue : queues_) {
      if (queue.settings.queue == row.queue && queue.socket.port_id() == row.port_id) {
        report_loss(queue, row, now);
      }
    }
  }
}

void Supervisor::report_loss(Queue& queue, const QueueStatus& row, Clock::time_point now) {
  const auto socket = find_netlink_socket(row.port_id);
  const uint64_t socket_drops = socket ? socket->drops : 0;
  const uint64_t full = row.queue_dropped - queue.seen.queue_dropped;
  const uint64_t socket_full = socket_drops - queue.seen_socket_drops;
  const uint32_t length = queue.shared().queue_length.load(std::memory_order_relaxed);
  const bool at_limit = phase_ != Phase::kStopping && length > 0 && row.waiting >= length;
  const uint64_t overloads = counted(queue.shared().loop.overloads);
  queue.overloaded |= std::exchange(queue.seen_overloads, overloads) != overloads ||
                      (length > 0 && length < queue.settings.length);
  queue.seen.waiting = row.waiting;
  if (now < queue.quiet_until && phase_ != Phase::kStopping) return;
  queue.seen = row;
  queue.seen_socket_drops = socket_drops;
  const bool lasting = std::exchange(queue.overloaded, false);
  if (full > 0) {
    spdlog::warn("queue {}: {} packets dropped, the queue was full; {}", row.queue, full,
                 lasting ? "the overload lasts: spread over more queues, on more CPUs"
                         : fmt::format("raise --queue-length (now {}) or spread over more queues",
                                       queue.settings.length));
  }
  if (socket_full > 0) {
    spdlog::warn(
        "queue {}: {} packets {}, the socket's buffer was full; raise --receive-buffer (now "
        "{} bytes)",
        row.queue, socket_full, queue.settings.fail_open ? "passed unchanged" : "dropped",
        queue.socket.receive_buffer());
  }
  if (at_limit && queue.settings.fail_open) {
    spdlog::warn("queue {}: full ({} waiting); packets pass unchanged and are counted nowhere",
                 row.queue, row.waiting);
  }
  if (full > 0 || socket_full > 0 || at_limit) queue.quiet_until = now + kQuiet;
}

// Closing the socket drops what is still queued. A worker that had to be killed leaves such
// packets.
void Supervisor::release_rest(Queue& queue) {
  for (const QueueStatus& row : read_queue_status()) {
    if (row.queue != queue.settings.queue || row.port_id != queue.socket.port_id()) continue;
    if (row.waiting == 0) continue;
    const bool accept =
        options_.on_crash == Verdict::kAccept && !newest_program().needs().drops_orphans;
    spdlog::warn("queue {}: {} packets were left and are {}", row.queue, row.waiting,
                 accept ? "accepted unchanged" : "dropped");
    release_up_to(queue.socket.fd(), row.queue, row.id_sequence, accept ? 1 : 0);
  }
}

namespace {

void print_streams(LoopCounters& loop) {
  const uint64_t edited = counted(loop.stream_edited);
  const uint64_t waited = counted(loop.stream_held);
  const uint64_t dropped = counted(loop.stream_dropped);
  if (edited + waited + dropped == 0) return;
  fmt::print(
      "      TCP segments edited {} (split {}), waited {} (in vain {}), left to be repeated {}\n",
      edited, counted(loop.stream_split), waited, counted(loop.stream_timed_out), dropped);
}

}  // namespace

void Supervisor::print_summary() const {
  fmt::print("\n{:>5} {:>12} {:>12} {:>12} {:>12} {:>10} {:>11} {:>12} {:>8}\n", "queue", "packets",
             "changed", "accepted", "dropped", "malformed", "queue-full", "socket-full",
             "restarts");
  for (const Queue& queue : queues_) {
    WorkerPage& page = queue.shared();
    const ProgramCounters program = total(page);
    fmt::print("{:>5} {:>12} {:>12} {:>12} {:>12} {:>10} {:>11} {:>12} {:>8}\n",
               queue.settings.queue, counted(page.loop.packets), program.changed, program.accepted,
               program.dropped, program.malformed, queue.seen.queue_dropped,
               queue.seen_socket_drops, queue.restarts);
    const uint64_t stale = counted(page.loop.stale_verdicts);
    const uint64_t refused = counted(page.loop.refused_verdicts);
    const uint64_t malformed = counted(page.loop.malformed_messages);
    if (stale + refused + malformed > 0) {
      fmt::print("      verdicts too late {}, refused {}, unreadable messages {}\n", stale, refused,
                 malformed);
    }
    const uint64_t held = counted(page.loop.held);
    const uint64_t not_held = counted(page.loop.not_held);
    if (held + not_held > 0) {
      fmt::print("      delayed {}, at once for want of room {}\n", held, not_held);
    }
    print_streams(page.loop);
    const uint64_t captured = counted(page.loop.captured);
    const uint64_t not_captured = counted(page.loop.not_captured);
    if (captured + not_captured > 0) {
      fmt::print("      captured {}, not for want of room {}\n", captured, not_captured);
    }
  }
  const std::vector<std::string>& names = program_->rule_names();
  if (!names.empty()) fmt::print("\n{:>12} {:>12}  rule (since it was loaded)\n", "hits", "misses");
  for (size_t i = 0; i < names.size(); ++i) {
    uint64_t hits = 0;
    uint64_t misses = 0;
    for (const Queue& queue : queues_) {
      // A worker that a reload did not get to counts under other rules.
      if (queue.worker.program != program_.get()) continue;
      auto* rules = queue.worker.rules.as<RuleCounters>();
      for (size_t thread = 0; thread < options_.threads; ++thread) {
        hits += counted(rules[thread * names.size() + i].hits);
        misses += counted(rules[thread * names.size() + i].misses);
      }
    }
    fmt::print("{:>12} {:>12}  {}\n", hits, misses, names[i]);
  }
  std::fflush(stdout);
}

}  // namespace fettle
