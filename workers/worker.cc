#include "workers/worker.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include <spdlog/spdlog.h>

#include "core/nfqueue.h"
#include "workers/packet_loop.h"

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;

constexpr timeval kIdleWait{.tv_sec = 0, .tv_usec = 100'000};  // a lost wake-up costs this much

volatile sig_atomic_t g_terminate = 0;

void on_terminate(int) { g_terminate = 1; }
void on_wake(int) {}

void install_signals() {
  struct sigaction action {};
  action.sa_handler = on_wake;  // no SA_RESTART: the wait for packets must end
  sigaction(SIGUSR1, &action, nullptr);
  action.sa_handler = on_terminate;
  sigaction(SIGTERM, &action, nullptr);
  // The terminal sends these to the whole group; the supervisor decides.
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a capture at the limit of a file's size is an error of write()
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

// The first id that nobody has read from the socket, found without reading it. Answers that lie
// before it belong to the dead and are thrown away.
std::optional<uint32_t> peek_id(int fd) {
  alignas(8) std::byte buffer[512];
  for (;;) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
    if (got <= 0) return std::nullopt;
    std::span<std::byte> datagram(buffer, static_cast<size_t>(got));
    const Message message = decode(datagram);
    if (message.packet.has_id) return message.packet.id;
    recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  }
}

class Worker {
 public:
  Worker(Heritage& heritage, PacketLoop& loop) : heritage_(heritage), loop_(loop) {}

  // False: the socket broke.
  bool run() {
    const bool ended = serve();
    loop_.finish();
    // What could not be answered now is the successor's to release.
    return ended && (loop_.broken_errno() == 0 || broken());
  }

  // After a death nobody knows how far the predecessor came with the queue's settings.
  bool restore_settings() {
    return await_settings(heritage_.options.settings, Clock::now() + heritage_.options.drain_time);
  }

  // What neither the kernel nor the memory that a dead predecessor left has the bytes of.
  void release_orphans() {
    const auto status = read_status();  // before the peek: what comes in between is newer
    const auto unread = peek_id(heritage_.queue_fd);
    if (!status && !unread) return;
    if (status && status->waiting == 0) return;
    const uint32_t upto = unread ? *unread - 1 : status->id_sequence;
    const WorkerOptions& options = heritage_.options;
    const bool accept = options.shadow || (options.on_crash == Verdict::kAccept &&
                                           !heritage_.program->needs().drops_orphans);
    loop_.release_orphans(upto, accept ? kNfAccept : kNfDrop);
  }

 private:
  bool serve() {
    for (std::vector<std::byte>& datagram : heritage_.early) {
      if (loop_.take(datagram) == PacketLoop::Turn::kBroken) return broken();
    }
    heritage_.early.clear();
    for (;;) {
      const Order order = current_order();
      if (order == Order::kRetire) return retire();
      if (order == Order::kDrain) return drain();
      if (loop_.turn(!heritage_.options.busy_poll) == PacketLoop::Turn::kBroken) return broken();
    }
  }

  std::optional<QueueStatus> read_status() const {
    return read_queue_status(heritage_.status_fd, heritage_.options.settings.queue);
  }

  Order current_order() const {
    if (g_terminate) return Order::kDrain;
    return heritage_.page->order.load(std::memory_order_acquire);
  }

  bool broken() const {
    spdlog::error("queue {}: the queue's socket fails: {}", heritage_.options.settings.queue,
                  std::strerror(loop_.broken_errno()));
    return false;
  }

  // The acknowledgement comes behind all packets that were queued under the old settings.
  bool await_settings(const QueueSettings& settings, Clock::time_point deadline) {
    const auto sent = loop_.configure(settings);
    if (!sent) {
      spdlog::error("{}", sent.error().message);
      return true;
    }
    while (!loop_.settled() && Clock::now() < deadline) {
      if (loop_.turn(true) == PacketLoop::Turn::kBroken) return broken();
    }
    if (!loop_.settled()) {
      spdlog::error("queue {}: the kernel has not answered to new settings in time",
                    settings.queue);
    } else if (loop_.acknowledged_error() != 0) {
      spdlog::error("queue {}: the kernel refuses new settings: {}", settings.queue,
                    std::strerror(loop_.acknowledged_error()));
    }
    return true;
  }

  bool retire() {
    loop_.keep_length();
    if (heritage_.page->next == loop_.settings()) return true;
    return await_settings(heritage_.page->next, Clock::now() + heritage_.options.drain_time);
  }

  // With fail-open a queue of length 0 lets new packets pass, so that it can run empty under load.
  bool drain() {
    const auto deadline = Clock::now() + heritage_.options.drain_time;
    loop_.keep_length();
    QueueSettings settings = heritage_.options.settings;
    if (settings.fail_open) {
      settings.length = 0;
      if (!await_settings(settings, deadline)) return false;
    }
    while (Clock::now() < deadline) {
      const PacketLoop::Turn turn = loop_.turn(false);
      if (turn == PacketLoop::Turn::kBroken) return broken();
      if (turn == PacketLoop::Turn::kPackets) continue;
      const auto status = read_status();
      if (!status || status->waiting == 0) break;
      loop_.turn(true);
    }
    return true;
  }

  Heritage& heritage_;
  PacketLoop& loop_;
};

// All descriptors that it keeps.
Belongings belongings_of(const Heritage& heritage) {
  Belongings out{.queue_fd = heritage.queue_fd,
                 .status_fd = heritage.status_fd,
                 .start_fd = heritage.start_fd,
                 .others = heritage.captures,
                 .threads = heritage.options.cpus.size()};
  out.others.push_back(heritage.running_fd);
  out.others.insert(out.others.end(), heritage.memory.begin(), heritage.memory.end());
  return out;
}

// To look at the page.
bool wake_supervisor(const Heritage& heritage) {
  const uint64_t one = 1;
  return write(heritage.running_fd, &one, sizeof one) == sizeof one;
}

// Until the supervisor says begin; 0 where it is gone.
char await_start(int fd) {
  char how = 0;
  for (;;) {
    const ssize_t got = read(fd, &how, 1);
    if (got == 1) return how;
    if (got == 0 || errno != EINTR || g_terminate) return 0;
  }
}

}  // namespace

bool release_up_to(int queue_fd, uint16_t queue, uint32_t id, uint32_t verdict) {
  std::byte message[kMaxVerdictHead];
  const VerdictRequest request{.id = id, .verdict = verdict, .batch = true};
  const size_t size = encode_verdict(message, queue, request);
  return send(queue_fd, message, size, 0) == static_cast<ssize_t>(size);
}

int run_worker(Heritage heritage) {
  const WorkerOptions& options = heritage.options;
  install_signals();
  prctl(PR_SET_NAME, fmt::format("fettle-q{}", options.settings.queue).c_str());
  if (!pin(options.cpus.front())) {
    spdlog::error("queue {}: cannot run on CPU {}: {}", options.settings.queue,
                  options.cpus.front(), std::strerror(errno));
    return EX_OSERR;
  }
  setsockopt(heritage.queue_fd, SOL_SOCKET, SO_RCVTIMEO, &kIdleWait, sizeof kIdleWait);
  const auto loop = PacketLoop::create(heritage);
  if (!loop) {
    spdlog::error("queue {}: {}", options.settings.queue, loop.error().message);
    return static_cast<int>(loop.error().code);
  }
  // No byte of a packet has been looked at yet.
  if (auto entered = heritage.sandbox->enter(belongings_of(heritage)); !entered) {
    spdlog::error("queue {}: {}", options.settings.queue, entered.error().message);
    return static_cast<int>(entered.error().code);
  }
  heritage.page->prepared.store(getpid(), std::memory_order_release);
  if (!wake_supervisor(heritage)) return EX_OSERR;
  const char how = await_start(heritage.start_fd);
  close(heritage.start_fd);
  if (how == 0) return EX_UNAVAILABLE;
  if (!(how == 'r' ? (*loop)->recover(heritage) : (*loop)->begin(heritage))) {
    spdlog::error(
        "queue {}: the table of TCP streams is damaged, expected the one that was made for it",
        options.settings.queue);
    return EX_SOFTWARE;
  }
  Worker worker(heritage, **loop);
  if (how == 'r') worker.release_orphans();
  heritage.page->begun.store(1, std::memory_order_relaxed);
  heritage.page->running.store(getpid(), std::memory_order_relaxed);
  if (!wake_supervisor(heritage)) return EX_OSERR;
  close(heritage.running_fd);
  if (how != 'n' && !worker.restore_settings()) return EX_IOERR;
  if (!worker.run()) return EX_IOERR;
  heritage.page->finished.store(1, std::memory_order_release);
  return kWorkerDone;
}

}  // namespace fettle
