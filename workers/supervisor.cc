#include "workers/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <span>

#include <cap-ng.h>
#include <spdlog/spdlog.h>

#include "rules/compile.h"
#include "workers/pidfd.h"
#include "workers/queue_owner.h"
#include "workers/topology.h"
#include "workers/worker.h"

namespace fettle {
namespace {

constexpr auto kGrace = std::chrono::seconds(2);  // beyond the drain time, then SIGKILL

// A packet sent to a queue of our own would come back for ever.
Result<void> check_queue_steps(const Program& program, const RunOptions& options) {
  for (const uint16_t target : program.needs().queues) {
    if (target < options.first_queue || target > options.last_queue) continue;
    return fail(ErrorCode::kData,
                fmt::format("{}: {{ queue = {} }} sends packets to a queue of this run "
                            "(--queue-balance {}:{}), where they would go round for ever",
                            options.rules, target, options.first_queue, options.last_queue));
  }
  return {};
}

Result<std::unique_ptr<Program>> load_checked(const RunOptions& options, std::string* warnings) {
  auto program = load_program(options.rules, warnings);
  if (!program) return std::unexpected(program.error());
  if (!warnings->empty()) spdlog::warn("{}", *warnings);
  if (auto checked = check_queue_steps(*program, options); !checked) {
    return std::unexpected(checked.error());
  }
  if (program->needs().must_change && options.fail_open.value_or(false)) {
    return fail(
        ErrorCode::kUsage,
        fmt::format("--fail-open lets packets pass unchanged, which a rule with must-change "
                    "in {} forbids; leave one of the two away",
                    options.rules));
  }
  return std::make_unique<Program>(std::move(*program));
}

uint32_t needed_copy_range(const Needs& needs) {
  if (!needs.packets) return 0;
  if (needs.changes || needs.whole) return kMaxReturnedPayload;
  return std::max(needs.depth, 128u);
}

}  // namespace

Supervisor::Supervisor(RunOptions options) : options_(std::move(options)) {}

Supervisor::~Supervisor() {
  if (signal_fd_ >= 0) close(signal_fd_);
  if (running_fd_ >= 0) close(running_fd_);
}

Result<std::unique_ptr<Supervisor>> Supervisor::create(RunOptions options) {
  std::unique_ptr<Supervisor> out(new Supervisor(std::move(options)));
  auto program = load_checked(out->options_, &out->load_warnings_);
  if (!program) return std::unexpected(program.error());
  out->program_ = std::move(*program);
  out->loaded_at_ = time(nullptr);
  if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN)) {
    return fail(
        ErrorCode::kNoPermission,
        "the capability CAP_NET_ADMIN is missing, which binding a queue and giving verdicts "
        "need; run as root or with it in the ambient set");
  }
  auto captures = CaptureFiles::open(out->program_->needs().captures);
  if (!captures) return std::unexpected(captures.error());
  out->captures_ = std::move(*captures);
  out->warn_of_short_copies(*out->program_);
  if (auto tested = out->test_queues(); !tested) return std::unexpected(tested.error());
  if (auto watched = out->watch_signals(); !watched) return std::unexpected(watched.error());
  if (auto found = out->find_estates(); !found) return std::unexpected(found.error());
  if (!out->options_.takeover) {  // else when its workers run
    if (auto opened = out->open_control(); !opened) return std::unexpected(opened.error());
  }
  for (uint32_t queue = out->options_.first_queue; queue <= out->options_.last_queue; ++queue) {
    if (auto opened = out->open_queue(static_cast<uint16_t>(queue)); !opened) {
      return std::unexpected(opened.error());
    }
  }
  return out;
}

Result<void> Supervisor::watch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  signal(SIGPIPE, SIG_IGN);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0 ||
      (signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0 ||
      (running_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
    return fail(ErrorCode::kOs, fmt::format("cannot watch signals: {}", std::strerror(errno)));
  }
  return {};
}

bool Supervisor::fails_open(const Program& program) const {
  const Needs& needs = program.needs();
  return options_.fail_open.value_or(
      needs.overload.value_or(needs.must_change ? Verdict::kDrop : Verdict::kAccept) ==
      Verdict::kAccept);
}

QueueSettings Supervisor::settings_for(uint16_t queue, const Program& program) const {
  const uint32_t range = needed_copy_range(program.needs());
  return {.queue = queue,
          .length = options_.queue_length,
          .copy_range = options_.copy_range.value_or(range),
          .fail_open = fails_open(program),
          .gso = options_.gso,
          .conntrack = options_.conntrack && program.needs().streams};
}

void Supervisor::warn_of_short_copies(const Program& program) const {
  const uint32_t needed = needed_copy_range(program.needs());
  if (!options_.copy_range || *options_.copy_range >= needed) return;
  spdlog::warn(
      "--copy-range {} is less than the {} bytes that the rules need: a packet whose headers are "
      "cut "
      "counts as malformed, and none that is cut is changed",
      *options_.copy_range, needed);
}

Result<void> Supervisor::open_queue(uint16_t number) {
  Queue queue;
  queue.settings = settings_for(number, *program_);
  for (size_t i = 0; i < options_.threads; ++i) {
    const size_t place = queues_.size() * options_.threads + i;
    queue.cpus.push_back(options_.cpus[place % options_.cpus.size()]);
  }
  auto estate = take_estate(number);
  auto opened = estate ? adopt_queue(queue, std::move(*estate)) : bind_queue(queue);
  if (!opened) return opened;
  if (!queue.page.data()) {
    auto page = SharedMemory::create(sizeof(WorkerPage), "fettle-page");
    if (!page) return std::unexpected(page.error());
    queue.page = std::move(*page);
    new (queue.page.data()) WorkerPage;
  }
  WorkerPage& page = queue.shared();
  page.next = page.settings = queue.settings;
  if (!queue.adopted) page.supervisor.store(getpid());
  say_settings(queue);
  queues_.push_back(std::move(queue));
  return {};
}

Result<void> Supervisor::bind_queue(Queue& queue) {
  const uint16_t number = queue.settings.queue;
  auto socket = QueueSocket::open(options_.receive_buffer);
  if (!socket) return std::unexpected(socket.error());
  const auto bound = socket->bind(queue.settings);
  if (bound) {
    queue.settings = *bound;
    queue.socket = std::move(*socket);
    return {};
  }
  if (socket->bind_error() != EPERM) return std::unexpected(bound.error());
  auto orphan = orphan_of(number);
  if (!orphan) return std::unexpected(orphan.error());
  if (*orphan) return adopt_queue(queue, std::move(**orphan));
  const std::string owner = queue_owner(number);
  if (owner.empty()) return std::unexpected(bound.error());
  return fail(ErrorCode::kUnavailable,
              fmt::format("queue {} is taken: {} has bound it; give another --queue-balance range, "
                          "--takeover where it is a fettle, or stop that process",
                          number, owner));
}

void Supervisor::say_settings(const Queue& queue) const {
  const QueueSettings& set = queue.settings;
  spdlog::info("queue {}: bound, CPU {}, length {}, {}, {}, receive buffer {} bytes, {}", set.queue,
               format_cpu_list(queue.cpus), set.length,
               set.copy_range == 0 ? "metadata only" : fmt::format("copy range {}", set.copy_range),
               set.fail_open ? "fail-open" : "fail-closed", queue.socket.receive_buffer(),
               set.gso ? "GSO" : "no GSO");
  if (options_.conntrack && program_->needs().streams && !set.conntrack) {
    spdlog::info(
        "queue {}: this kernel says nothing of its own changes of sequence numbers "
        "(NETFILTER_NETLINK_GLUE_CT): no TCP stream may pass its NAT helpers or SYNPROXY, too",
        set.queue);
  }
  if (queue.socket.receive_buffer() < options_.receive_buffer) {
    spdlog::warn("queue {}: asked for a receive buffer of {} bytes, the kernel gave {}", set.queue,
                 options_.receive_buffer, queue.socket.receive_buffer());
  }
}

int Supervisor::run() {
  for (Queue& queue : queues_) {
    if (queue.adopted) {
      succeed(queue);
    } else {
      start_worker(queue, 'n');
    }
  }
  awaited_ = queues_.size();
  deadline_ = Clock::now() + options_.drain_time + kGrace;
  next_report_ = Clock::now() + kReportInterval;
  while (!stopped()) {
    wait_for_events();
    signalfd_siginfo info;
    while (read(signal_fd_, &info, sizeof info) == sizeof info) {
      on_signal(static_cast<int>(info.ssi_signo));
    }
    uint64_t running = 0;
    if (read(running_fd_, &running, sizeof running) == sizeof running) on_running(running);
    const auto now = Clock::now();
    restart_due(now);
    kill_overdue(now);
    watch(now);
    if (service_.watchdog().count() > 0 && now >= next_beat_) {
      service_.beat();
      next_beat_ = now + service_.watchdog() / 3;
    }
    if (now >= next_report_) report_losses(now);
    if (handed_over()) return exit_status_;
  }
  report_losses(Clock::now());
  if (!keeps_queues_) {
    for (Queue& queue : queues_) release_rest(queue);
  }
  fmt::print("{}", summary_table(status()));
  std::fflush(stdout);
  answer_drains();
  return exit_status_;
}

void Supervisor::wait_for_events() {
  std::vector<pollfd> fds{{.fd = signal_fd_, .events = POLLIN, .revents = 0},
                          {.fd = running_fd_, .events = POLLIN, .revents = 0}};
  const size_t formers = fds.size();
  for (const Queue& queue : queues_) {
    fds.push_back({.fd = queue.former.get(), .events = POLLIN, .revents = 0});
  }
  const size_t clients = fds.size();
  if (control_) control_->add_polls(fds);
  poll(fds.data(), fds.size(), next_timeout(Clock::now()));
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (fds[formers + i].revents != 0) on_former_exit(queues_[i]);
  }
  if (control_) control_->serve(std::span(fds).subspan(clients));
}

void Supervisor::on_signal(int signal) {
  switch (signal) {
    case SIGCHLD:
      reap();
      break;
    case SIGHUP:
      ask_for_reload();
      break;
    case SIGTERM:
    case SIGINT:
      if (phase_ != Phase::kStopping) {
        spdlog::info("stopping: {}", signal == SIGTERM ? "SIGTERM" : "SIGINT");
        start_stop();
      }
      break;
    default:
      break;
  }
}

void Supervisor::on_running(uint64_t workers) {
  if (phase_ != Phase::kStarting) return;
  awaited_ -= std::min<size_t>(awaited_, workers);
  if (awaited_ > 0) return;
  phase_ = Phase::kRunning;
  if (options_.takeover) (void)open_control();  // says itself what is wrong
  say_ready("ready");
  if (std::exchange(reload_again_, false)) start_reload();
}

void Supervisor::say_ready(const char* what) {
  const size_t rules = program_->rule_names().size();
  const std::string text =
      fmt::format("{}, {} worker{}, {} rule{}", queue_range(), queues_.size(),
                  queues_.size() == 1 ? "" : "s", rules, rules == 1 ? "" : "s");
  spdlog::info("{}: {}", what, text);
  service_.ready(text);
}

std::string Supervisor::queue_range() const {
  return options_.first_queue == options_.last_queue
             ? fmt::format("queue {}", options_.first_queue)
             : fmt::format("queues {}:{}", options_.first_queue, options_.last_queue);
}

void Supervisor::start_reload() {
  reload_clients_ = std::exchange(next_reload_clients_, {});
  if (!std::ranges::all_of(queues_, [this](const Queue& queue) { return is_ours(queue); })) {
    return refuse_reload({ErrorCode::kUnavailable, "another process is taking the queues over"});
  }
  load_warnings_.clear();
  auto program = load_checked(options_, &load_warnings_);
  if (!program) return refuse_reload(program.error());
  auto captures = CaptureFiles::open((*program)->needs().captures);
  if (!captures) return refuse_reload(captures.error());
  service_.reloading();
  next_program_ = std::move(*program);
  next_captures_ = std::move(*captures);
  warn_of_short_copies(*next_program_);
  phase_ = Phase::kReloading;
  deadline_ = Clock::now() + options_.drain_time + kGrace;
  for (Queue& queue : queues_) {
    const QueueSettings next = settings_for(queue.settings.queue, *next_program_);
    queue.shared().next = next;
    if (auto child = fork_worker(queue, *next_program_, next)) {
      queue.successor = std::move(*child);
    } else {
      spdlog::error("{}", child.error().message);  // it is started when its predecessor has gone
    }
    queue.shared().order.store(Order::kRetire, std::memory_order_release);
    if (queue.worker.pid > 0) {
      kill(queue.worker.pid, SIGUSR1);
    } else {
      adopt_successor(queue, 'r');
    }
  }
  finish_reload();
}

void Supervisor::finish_reload() {
  const bool waiting = std::ranges::any_of(queues_, [](const Queue& queue) {
    return queue.shared().order.load(std::memory_order_relaxed) == Order::kRetire;
  });
  if (phase_ != Phase::kReloading || waiting) return;
  program_ = std::move(next_program_);
  captures_ = std::exchange(next_captures_, {});
  ++program_number_;
  phase_ = Phase::kRunning;
  adopt_reload();
  if (std::exchange(reload_again_, false)) start_reload();
}

void Supervisor::start_stop() {
  phase_ = Phase::kStopping;
  cancel_reloads();
  keeps_queues_ = service_.managed() &&
                  (options_.on_stop == RunOptions::OnStop::kKeep ||
                   (options_.on_stop == RunOptions::OnStop::kAuto && service_.restarts()));
  if (keeps_queues_) spdlog::info("the queues stay, for who is started next");
  service_.stopping();
  deadline_ = Clock::now() + options_.drain_time + kGrace;
  for (Queue& queue : queues_) {
    if (!is_ours(queue)) continue;
    queue.shared().order.store(keeps_queues_ ? Order::kRetire : Order::kDrain,
                               std::memory_order_release);
    if (queue.successor.pid > 0) kill(queue.successor.pid, SIGKILL);
    if (queue.worker.pid > 0) kill(queue.worker.pid, SIGUSR1);
  }
}

void Supervisor::kill_overdue(Clock::time_point now) {
  if (phase_ == Phase::kRunning || now < deadline_) return;
  for (Queue& queue : queues_) {
    if (queue.former) pidfd_send_signal(queue.former.get(), SIGKILL, nullptr, 0);
    if (!is_ours(queue)) continue;
    const bool told = queue.shared().order.load(std::memory_order_relaxed) != Order::kRun;
    if (queue.worker.pid <= 0 || !told) continue;
    spdlog::error("queue {}: worker {} does not end, killing it", queue.settings.queue,
                  queue.worker.pid);
    kill(queue.worker.pid, SIGKILL);
  }
  deadline_ = now + kGrace;
}

bool Supervisor::stopped() const {
  return phase_ == Phase::kStopping && std::ranges::all_of(queues_, [](const Queue& queue) {
           return queue.worker.pid <= 0 && queue.successor.pid <= 0;
         });
}

int Supervisor::next_timeout(Clock::time_point now) const {
  auto next = next_report_;
  if (control_) next = std::min(next, control_->deadline().value_or(next));
  if (phase_ != Phase::kRunning) next = std::min(next, deadline_);
  for (const Queue& queue : queues_) {
    if (queue.worker.pid < 0 && phase_ != Phase::kStopping) next = std::min(next, queue.restart_at);
  }
  if (options_.watchdog.count() > 0) {
    next = std::min<Clock::time_point>(next, now + options_.watchdog / 4);
  }
  if (service_.watchdog().count() > 0) next = std::min(next, next_beat_);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000));
}

}  // namespace fettle
