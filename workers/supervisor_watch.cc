// What the supervisor does about workers that die, or stand still.
#include <signal.h>

#include <algorithm>
#include <vector>

#include <spdlog/spdlog.h>

#include "core/counters.h"
#include "workers/child_end.h"
#include "workers/inbox.h"
#include "workers/packet_holding.h"
#include "workers/quarantine.h"
#include "workers/supervisor.h"

namespace fettle {
namespace {

using std::chrono::milliseconds;

// A worker that did as much as one of these before it died is no reason to wait. Of the others the
// first few are not, either; each further one doubles the wait.
constexpr uint64_t kPackets = 1000;
constexpr milliseconds kLife{1000};
constexpr uint32_t kWithoutWait = 2;
constexpr milliseconds kFirstBackOff{10};
constexpr milliseconds kLongestBackOff{5000};

// A worker that begins, which takes the machine's time and not a packet's, may stand still so many
// times as long as one that runs.
constexpr int kPatienceAtStart = 5;

uint64_t pulse_of(WorkerPage& page) { return counted(page.loop.batches) + counted(page.loop.idle); }

}  // namespace

void Supervisor::begin_watch(Queue& queue) {
  queue.began = queue.beat_at = Clock::now();
  queue.pulse = pulse_of(queue.shared());
  queue.packets_before = counted(queue.shared().loop.packets);
  queue.stuck = false;
}

void Supervisor::watch(Clock::time_point now) {
  if (options_.watchdog.count() == 0) return;
  for (Queue& queue : queues_) {
    if (queue.worker.pid <= 0 || !is_ours(queue)) continue;
    const uint64_t pulse = pulse_of(queue.shared());
    if (std::exchange(queue.pulse, pulse) != pulse) queue.beat_at = now;
    const bool runs = queue.shared().running.load(std::memory_order_relaxed) == queue.worker.pid;
    const auto patience = options_.watchdog * (runs ? 1 : kPatienceAtStart);
    if (now - queue.beat_at < patience || queue.stuck) continue;
    spdlog::error("queue {}: worker {} has shown no sign of life for {} ms, killing it",
                  queue.settings.queue, queue.worker.pid, patience.count());
    queue.stuck = true;
    kill(queue.worker.pid, SIGKILL);
  }
}

milliseconds Supervisor::back_off_after_death(Queue& queue, Clock::time_point now) {
  const uint64_t packets = counted(queue.shared().loop.packets) - queue.packets_before;
  if (packets >= kPackets || now - queue.began >= kLife) {
    queue.in_a_row = 0;
  } else {
    ++queue.in_a_row;
  }
  if (queue.in_a_row <= kWithoutWait) return milliseconds{0};
  const uint32_t doublings = std::min(queue.in_a_row - kWithoutWait - 1, 16u);
  return std::min(kFirstBackOff * (1 << doublings), kLongestBackOff);
}

void Supervisor::on_death(Queue& queue, int status) {
  const auto now = Clock::now();
  queue.back_off = back_off_after_death(queue, now);
  ++queue.restarts;
  queue.restart_at = now + queue.back_off;
  std::vector<Evidence> evidence;
  if (is_fault(status) || queue.stuck) evidence = evidence_of(queue);
  restart_due(now);
  spdlog::error("queue {}: worker {}; {}, packets wait in the kernel", queue.settings.queue,
                queue.last_end,
                queue.back_off.count() == 0
                    ? "restarting now"
                    : fmt::format("{} in a row have done next to nothing, restarting in {} ms",
                                  queue.in_a_row, queue.back_off.count()));
  keep(queue, evidence);
}

// What it had in hand. Its successor changes what is said of it there.
std::vector<Supervisor::Evidence> Supervisor::evidence_of(const Queue& queue) const {
  std::vector<Evidence> found;
  const auto add = [&found](const InHand& hand, std::span<const std::byte> bytes) {
    if (hand.stage != Stage::kInHand || bytes.empty()) return;
    found.push_back({.id = hand.queued.id, .bytes = {bytes.begin(), bytes.end()}});
  };
  const size_t size = Inbox::bytes(options_.batch);
  for (size_t at = 0; at + size <= queue.slots.size(); at += size) {
    const Inbox inbox(queue.slots.bytes().subspan(at, size), options_.batch);
    for (size_t i = 0; i < inbox.in_use(); ++i) add(inbox.hand(i), inbox.bytes_of(inbox.hand(i)));
  }
  const HeldPackets::Size room =
      room_for_held(*queue.worker.program, worker_options(queue, queue.settings));
  if (room.packets > 0 && queue.held.size() == HeldPackets::bytes(room)) {
    const HeldPackets held(queue.held.bytes(), room);
    held.look([&add](const HeldPacket& packet) { add(packet.hand, packet.hand.queued.payload); });
  }
  return found;
}

void Supervisor::keep(Queue& queue, std::span<const Evidence> evidence) {
  const char* verdict = options_.shadow                         ? "accept, as all in a shadow"
                        : options_.on_crash == Verdict::kAccept ? "accept"
                                                                : "drop";
  for (const Evidence& one : evidence) {
    const auto path = quarantine(options_.quarantine, queue.settings.queue, one.id, one.bytes);
    if (path) queue.shared().quarantined = ++queue.quarantined;
    spdlog::error("queue {}: packet {} was in hand: --on-crash {}; {}", queue.settings.queue,
                  one.id, verdict,
                  path ? fmt::format("as it lay there: {}", *path)
                       : fmt::format("it is not kept: {}", path.error().message));
  }
}

}  // namespace fettle
