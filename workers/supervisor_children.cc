// The supervisor's children: how they are made, and what happens when they end.
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>

#include <spdlog/spdlog.h>

#include "workers/child_end.h"
#include "workers/log.h"
#include "workers/packet_holding.h"
#include "workers/pidfd.h"
#include "workers/stream_stage.h"
#include "workers/supervisor.h"
#include "workers/worker.h"

namespace fettle {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPreparation{1000};  // of a successor, while its predecessor goes on
constexpr milliseconds kWithoutFork{1000};  // until a fork is tried again

bool done(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == kWorkerDone; }

}  // namespace

// A table that is there stays: connections that were edited go on so.
Result<void> Supervisor::make_streams(Queue& queue, const Program& program) const {
  if (!program.needs().streams || queue.streams.data()) return {};
  const StreamTable::Size size = stream_table_size(options_.streams);
  auto made = SharedMemory::create(StreamTable::bytes(size), "fettle-streams");
  if (!made) return std::unexpected(made.error());
  SipKey key{};
  if (getrandom(&key, sizeof key, 0) != sizeof key) {
    return fail(ErrorCode::kOs, fmt::format("cannot get a random key: {}", std::strerror(errno)));
  }
  queue.streams = std::move(*made);
  StreamTable::format({queue.streams.data(), queue.streams.size()}, size, key);
  return {};
}

// What lies there stays, for a successor to answer. Where the programs need unequal room for what
// they hold, the old one's is its own worker's alone.
Result<void> Supervisor::make_room(Queue& queue, const Program& program) const {
  const WorkerOptions options = worker_options(queue, queue.settings);
  const auto make = [](SharedMemory* memory, size_t size, const char* name) -> Result<void> {
    if (size == 0 || memory->size() == size) return {};
    auto made = SharedMemory::create(size, name);
    if (!made) return std::unexpected(made.error());
    made->lock();  // a page fault less; RLIMIT_MEMLOCK may forbid it
    *memory = std::move(*made);
    return {};
  };
  if (auto made = make(&queue.slots, slots_size(options), "fettle-slots"); !made) return made;
  return make(&queue.held, held_size(program, options), "fettle-held");
}

WorkerOptions Supervisor::worker_options(const Queue& queue, const QueueSettings& settings) const {
  return {.cpus = queue.cpus,
          .batch = options_.batch,
          .busy_poll = options_.busy_poll,
          .settings = settings,
          .overload_length = options_.overload_length,
          .stream_wait = options_.stream_wait,
          .on_crash = options_.on_crash,
          .shadow = options_.shadow,
          .drain_time = options_.drain_time};
}

size_t Supervisor::counters_size(const Program& program) const {
  const size_t rules = std::max<size_t>(program.rule_names().size(), 1);
  return (options_.threads + 1) * rules * sizeof(RuleCounters);
}

Result<Supervisor::Child> Supervisor::fork_worker(Queue& queue, const Program& program,
                                                  const QueueSettings& settings,
                                                  SharedMemory&& counters) {
  Child child;
  child.program = &program;
  if (!counters.data()) {
    auto made = SharedMemory::create(counters_size(program), "fettle-rules");
    if (!made) return std::unexpected(made.error());
    counters = std::move(*made);
  }
  if (auto made = make_streams(queue, program); !made) return std::unexpected(made.error());
  if (auto made = make_room(queue, program); !made) return std::unexpected(made.error());
  int start[2];
  if (pipe2(start, O_CLOEXEC) != 0) {
    return fail(ErrorCode::kOs, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  child.start_fd = start[1];
  child.pid = fork();
  if (child.pid >= 0) child.rules = std::move(counters);
  if (child.pid == 0) become_worker(queue, program, settings, child, start[0]);
  close(start[0]);
  if (child.pid < 0) {
    close(start[1]);
    return fail(ErrorCode::kOs, fmt::format("cannot fork a worker: {}", std::strerror(errno)));
  }
  return child;
}

void Supervisor::become_worker(Queue& queue, const Program& program, const QueueSettings& settings,
                               const Child& child, int start_fd) {
  log_to_stderr_alone();
  // Nothing of the other queues, and no write end that would keep a sibling waiting for ever.
  close(child.start_fd);
  for (Queue& other : queues_) {
    if (other.worker.start_fd >= 0) close(other.worker.start_fd);
    if (other.successor.start_fd >= 0) close(other.successor.start_fd);
    other.worker.rules = {};
    other.successor.rules = {};
    other.former_page = {};
    if (&other == &queue) continue;
    other.socket = {};
    for (SharedMemory* memory : {&other.page, &other.slots, &other.held, &other.streams}) {
      *memory = {};
    }
  }
  close(signal_fd_);
  if (control_) control_->forget();
  if (metrics_) metrics_->forget();
  feed_.forget();
  Heritage heritage;
  heritage.queue_fd = queue.socket.fd();
  heritage.send_buffer = queue.socket.send_buffer();
  heritage.running_fd = running_fd_;
  heritage.status_fd = open_queue_status();
  heritage.start_fd = start_fd;
  heritage.sandbox = &sandbox_;
  heritage.program = &program;
  heritage.program_number = program_number_ + (&program == program_.get() ? 0 : 1);
  const std::span<const int> captures =
      (&program == program_.get() ? captures_ : next_captures_).fds();
  heritage.captures.assign(captures.begin(), captures.end());
  heritage.page = &queue.shared();
  heritage.rules = {child.rules.as<RuleCounters>(), options_.threads * program.rule_names().size()};
  heritage.streams = {queue.streams.data(), queue.streams.size()};
  heritage.slots = queue.slots.bytes();
  heritage.held = queue.held.bytes();
  for (const int fd :
       {queue.page.fd(), queue.slots.fd(), queue.held.fd(), queue.streams.fd(), child.rules.fd()}) {
    if (fd >= 0) heritage.memory.push_back(fd);
  }
  heritage.options = worker_options(queue, settings);
  heritage.early = queue.socket.take_early_datagrams();
  const int status = run_worker(std::move(heritage));
  spdlog::default_logger()->flush();
  _exit(status);
}

void Supervisor::begin(Child& child, char how) {
  // A child that is gone already is seen by reap().
  [[maybe_unused]] const ssize_t written = write(child.start_fd, &how, 1);
  close(std::exchange(child.start_fd, -1));
}

void Supervisor::start_worker(Queue& queue, char how) {
  const Program& program = newest_program();
  auto child = queue.worker.program == &program
                   ? fork_worker(queue, program, queue.settings, std::move(queue.worker.rules))
                   : fork_worker(queue, program, queue.settings);
  if (!child) {
    spdlog::error("queue {}: {}", queue.settings.queue, child.error().message);
    queue.restart_at = Clock::now() + kWithoutFork;
    return;
  }
  queue.socket.take_early_datagrams();  // the child has them
  const Child former = std::exchange(queue.worker, std::move(*child));
  hand_queue_to_worker(queue, how);
  carry_rules(former, queue.worker);
}

void Supervisor::reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (feed_.on_exit(pid, status) || (metrics_ && metrics_->on_exit(pid, status))) continue;
    for (Queue& queue : queues_) {
      if (pid == queue.worker.pid) {
        queue.worker.pid = -1;
        queue.ended = Clock::now();
        queue.last_end = describe_end(pid, status);
        queue.last_end_at = time(nullptr);
        on_exit(queue, status);
      } else if (pid == queue.successor.pid) {
        queue.successor.pid = -1;
        close(std::exchange(queue.successor.start_fd, -1));
        if (phase_ != Phase::kStopping) {
          spdlog::error("queue {}: the new worker {} before it began", queue.settings.queue,
                        describe_end(pid, status));
        }
        if (queue.preparing) retire(queue);
      }
    }
  }
}

void Supervisor::on_exit(Queue& queue, int status) {
  if (!is_ours(queue)) return;
  switch (phase_) {
    case Phase::kStopping:
      if (!done(status)) on_death_at_the_end(queue, status);
      return;
    case Phase::kStarting:
      if (queue.shared().begun.load(std::memory_order_relaxed) || done(status)) {
        return on_death(queue, status);
      }
      spdlog::error("queue {}: worker {}; nothing runs", queue.settings.queue, queue.last_end);
      exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
      start_stop();
      return;
    case Phase::kReloading:
      if (queue.told == Order::kRetire || queue.preparing) {
        if (!done(status)) {
          spdlog::warn("queue {}: worker {} as it was to retire", queue.settings.queue,
                       queue.last_end);
        }
        std::vector<Evidence> evidence;
        if (is_fault(status)) evidence = evidence_of(queue);
        // One that ended before it was told has put no settings in force.
        adopt_successor(queue, done(status) && queue.told == Order::kRetire ? 'n' : 'r');
        keep(queue, evidence);
        finish_reload();
        return;
      }
      on_death(queue, status);
      return;
    case Phase::kRunning:
      on_death(queue, status);
      return;
  }
}

// What waits in the queue is its successor's to empty, while the drain time lasts.
void Supervisor::on_death_at_the_end(Queue& queue, int status) {
  const bool again = WIFSIGNALED(status) && !keeps_queues_ && Clock::now() + kGrace < deadline_;
  spdlog::error("queue {}: worker {}{}", queue.settings.queue, queue.last_end,
                again ? "; another one empties the queue" : "");
  if (!again) return;
  ++queue.restarts;
  start_worker(queue, 'r');
}

void Supervisor::hand_queue_to_worker(Queue& queue, char how) {
  begin_watch(queue);
  WorkerPage& page = queue.shared();
  page.settings = page.next = queue.settings;
  page.shadow = options_.shadow ? 1 : 0;
  page.fingerprint = fingerprint(*queue.worker.program);
  page.restarts = queue.restarts;
  page.full_looks = queue.full_looks;
  page.quarantined = queue.quarantined;
  page.finished.store(0);
  begin(queue.worker, how);
  queue.last_worker = queue.worker.pid;
  page.supervisor.store(getpid());
  page.worker.store(queue.worker.pid);
  store(queue);
}

// The worker goes on while its successor is made ready, so that the queue waits for a wake-up
// alone.
void Supervisor::prepare_succession(Queue& queue, Result<Child> successor) {
  if (successor) {
    queue.successor = std::move(*successor);
    queue.preparing = true;
    queue.retire_at = Clock::now() + kPreparation;
    if (queue.worker.pid > 0 || queue.former) return;
  } else {
    spdlog::error("{}", successor.error().message);  // it is started when its predecessor has gone
  }
  retire(queue);
}

void Supervisor::retire(Queue& queue) {
  queue.preparing = false;
  if (queue.former) {
    PageHead& head = former_head(queue);
    head.finished.store(0);
    head.order.store(Order::kRetire, std::memory_order_release);
    pidfd_send_signal(queue.former.get(), SIGUSR1, nullptr, 0);
    return;
  }
  queue.tell(Order::kRetire);
  if (queue.worker.pid > 0) {
    kill(queue.worker.pid, SIGUSR1);
  } else {
    adopt_successor(queue, 'r');
  }
}

void Supervisor::retire_overdue(Clock::time_point now) {
  for (Queue& queue : queues_) {
    if (queue.preparing && now >= queue.retire_at) retire(queue);
  }
}

void Supervisor::adopt_successor(Queue& queue, char how) {
  queue.preparing = false;
  queue.settings = queue.next;
  queue.tell(Order::kRun);
  if (queue.successor.pid <= 0) return start_worker(queue, 'r');
  const Child former = std::exchange(queue.worker, std::move(queue.successor));
  queue.successor = {};
  hand_queue_to_worker(queue, how);
  carry_rules(former, queue.worker);
}

void Supervisor::restart_due(Clock::time_point now) {
  if (phase_ == Phase::kStopping) return;
  for (Queue& queue : queues_) {
    const bool awaited = queue.former || !is_ours(queue);
    if (queue.worker.pid < 0 && !awaited && now >= queue.restart_at) start_worker(queue, 'r');
  }
}

}  // namespace fettle
