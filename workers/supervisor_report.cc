// What the supervisor logs: losses, as the kernel counts them, and what is left at the end.
#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "core/counters.h"
#include "workers/queue_owner.h"
#include "workers/self_test.h"
#include "workers/supervisor.h"
#include "workers/worker.h"

namespace fettle {
namespace {

constexpr auto kQuiet = std::chrono::seconds(10);  // between two lines about one queue's losses

}  // namespace

Result<void> Supervisor::test_queues() const {
  if (!options_.self_test) return {};
  std::vector<QueueSettings> queues;
  for (uint32_t queue = options_.first_queue; queue <= options_.last_queue; ++queue) {
    queues.push_back(settings_for(static_cast<uint16_t>(queue), *program_));
  }
  const SelfTest test = run_self_test(queues, options_.receive_buffer, !options_.shadow);
  if (test.outcome == SelfTest::Outcome::kFailed) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("self-test: {}; this kernel would not {} packets ('fettle doctor' "
                            "looks for the cause, --no-self-test starts all the same)",
                            test.text, options_.shadow ? "let pass" : "mend"));
  }
  const bool passed = test.outcome == SelfTest::Outcome::kPassed;
  spdlog::info("self-test: {}{} ({} ms)", passed ? "" : "cannot be done here: ", test.text,
               test.took.count());
  return {};
}

void Supervisor::report_losses(Clock::time_point now) {
  next_report_ = now + kReportInterval;
  const std::vector<QueueStatus> rows = own_rows();
  feed_.look(rows);
  for (const QueueStatus& row : rows) {
    report_loss(*std::ranges::find(queues_, row.queue,
                                   [](const Queue& queue) { return queue.settings.queue; }),
                row, now);
  }
}

void Supervisor::report_loss(Queue& queue, const QueueStatus& row, Clock::time_point now) {
  const auto socket = find_netlink_socket(row.port_id);
  const uint64_t socket_drops = socket ? socket->drops : 0;
  const uint64_t full = row.queue_dropped - queue.seen.queue_dropped;
  const uint64_t socket_full = socket_drops - queue.seen_socket_drops;
  const uint32_t length = queue.shared().queue_length.load(std::memory_order_relaxed);
  const bool at_limit = phase_ != Phase::kStopping && length > 0 && row.waiting >= length;
  if (at_limit && queue.settings.fail_open) {
    queue.shared().full_looks = ++queue.full_looks;
    ask_for_feed(now);
  }
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
    spdlog::warn("queue {}: full ({} waiting); packets pass unchanged", row.queue, row.waiting);
  }
  const bool untracked = report_untracked(queue);
  if (full + socket_full > 0 || at_limit || untracked) queue.quiet_until = now + kQuiet;
}

// False: there were none since the last line.
bool Supervisor::report_untracked(Queue& queue) {
  const uint64_t count = counted(queue.shared().loop.stream_untracked);
  const uint64_t more = count - std::exchange(queue.seen_untracked, count);
  if (more == 0) return false;
  spdlog::warn(
      "queue {}: {} TCP segments were not edited, no place for their connections; raise --streams "
      "(now {})",
      queue.settings.queue, more, options_.streams);
  return true;
}

bool Supervisor::accepts_orphans() const {
  return options_.shadow ||
         (options_.on_crash == Verdict::kAccept && !newest_program().needs().drops_orphans);
}

// Closing the socket drops what is still queued. A worker that had to be killed leaves such
// packets.
void Supervisor::release_rest(Queue& queue) {
  for (const QueueStatus& row : read_queue_status()) {
    if (row.queue != queue.settings.queue || row.port_id != queue.socket.port_id()) continue;
    if (row.waiting == 0) continue;
    queue.left = row.waiting;
    const bool accept = accepts_orphans();
    spdlog::warn("queue {}: {} packets were left and are {}", row.queue, row.waiting,
                 accept ? "accepted unchanged" : "dropped");
    release_up_to(queue.socket.fd(), row.queue, row.id_sequence, accept ? 1 : 0);
  }
}

}  // namespace fettle
