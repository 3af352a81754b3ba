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

// The program of the rules that the firewall does not carry out.
Program rest_of(const RuleSet& set, const SteeringPlan& plan) {
  size_t pushed = 0;
  for (size_t i = 0; i < set.rules.size(); ++i) {
    pushed += plan.hindrances[i].empty() ? 1 : 0;
    if (!plan.hindrances[i].empty())
      spdlog::info("push-down: \"{}\" is left to the queue: {}", set.rules[i].name,
                   plan.hindrances[i]);
  }
  spdlog::info("push-down: the firewall carries out {} of {} rules", pushed, set.rules.size());
  std::vector<Diagnostic> known;  // said of the whole set
  return std::move(*compile(without_pushed(set, plan), &known));
}

// As a shadow is to be without an effect, while nobody reads its queues, too.
void let_pass_unseen(SteeringPlan* plan) {
  plan->drops_unseen = false;
  for (SteeringPoint& point : plan->points) {
    for (SteeringFilter& filter : point.filters) filter.must_change = false;
  }
}

struct Checked {
  std::unique_ptr<Program> program;
  SteeringPlan steering;
};

Result<Checked> load_checked(const RunOptions& options, std::string* warnings) {
  auto rules = load_rules(options.rules, warnings);
  if (!rules) return std::unexpected(rules.error());
  Program* const program = &rules->program;
  Checked out;
  if (!warnings->empty()) spdlog::warn("{}", *warnings);
  if (auto checked = check_queue_steps(*program, options); !checked) {
    return std::unexpected(checked.error());
  }
  if (program->needs().must_change && options.fail_open.value_or(false) && !options.shadow) {
    return fail(
        ErrorCode::kUsage,
        fmt::format("--fail-open lets packets pass unchanged, which a rule with must-change "
                    "in {} forbids; leave one of the two away",
                    options.rules));
  }
  if (options.steer) {
    auto plan = plan_steering(rules->parsed.set, options.steer->wish);
    if (!plan) return fail(plan.error().code, "--steer: " + plan.error().message);
    for (const std::string& note : plan->notes) spdlog::info("steering: {}", note);
    if (!plan->hindrances.empty()) *program = rest_of(rules->parsed.set, *plan);
    out.steering = std::move(*plan);
    if (options.shadow) let_pass_unseen(&out.steering);
  }
  out.program = std::make_unique<Program>(std::move(*program));
  return out;
}

}  // namespace

Supervisor::Supervisor(RunOptions options)
    : options_(std::move(options)), feed_(options_.first_queue, options_.last_queue) {}

Supervisor::~Supervisor() {
  if (signal_fd_ >= 0) close(signal_fd_);
  if (running_fd_ >= 0) close(running_fd_);
}

Result<std::unique_ptr<Supervisor>> Supervisor::create(RunOptions options) {
  std::unique_ptr<Supervisor> out(new Supervisor(std::move(options)));
  auto program = load_checked(out->options_, &out->load_warnings_);
  if (!program) return std::unexpected(program.error());
  out->program_ = std::move(program->program);
  out->steering_ = std::move(program->steering);
  out->loaded_at_ = time(nullptr);
  if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN)) {
    return fail(
        ErrorCode::kNoPermission,
        "the capability CAP_NET_ADMIN is missing, which binding a queue and giving verdicts "
        "need; run as root or with it in the ambient set");
  }
  if (auto made = out->prepare_sandbox(); !made) return std::unexpected(made.error());
  auto captures = CaptureFiles::open(out->program_->needs().captures);
  if (!captures) return std::unexpected(captures.error());
  out->captures_ = std::move(*captures);
  out->warn_of_short_copies(*out->program_);
  if (auto tested = out->test_queues(); !tested) return std::unexpected(tested.error());
  if (auto watched = out->watch_signals(); !watched) return std::unexpected(watched.error());
  if (auto found = out->find_estates(); !found) return std::unexpected(found.error());
  if (!out->options_.takeover) {  // else when its workers run
    if (auto opened = out->open_control(); !opened) return std::unexpected(opened.error());
    if (auto opened = out->open_metrics(); !opened) return std::unexpected(opened.error());
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

Result<void> Supervisor::prepare_sandbox() {
  if (!options_.sandbox) {
    spdlog::warn(
        "NO SANDBOX (--no-sandbox): a packet that takes a worker over has all that this process "
        "may do; for debugging only");
    return {};
  }
  auto sandbox = Sandbox::prepare(options_.user);
  if (!sandbox) return std::unexpected(sandbox.error());
  sandbox_ = std::move(*sandbox);
  spdlog::info("sandbox: {}", sandbox_.described());
  const std::string left_out = sandbox_.left_out();
  if (!left_out.empty()) spdlog::warn("sandbox: left out: {}", left_out);
  return {};
}

int Supervisor::run() {
  for (Queue& queue : queues_) {
    if (queue.adopted) {
      succeed(queue);
    } else {
      start_worker(queue, 'n');
    }
  }
  deadline_ = Clock::now() + options_.drain_time + kGrace;
  next_report_ = Clock::now() + kReportInterval;
  while (!stopped()) {
    wait_for_events();
    signalfd_siginfo info;
    while (read(signal_fd_, &info, sizeof info) == sizeof info) {
      on_signal(static_cast<int>(info.ssi_signo));
    }
    uint64_t running = 0;
    if (read(running_fd_, &running, sizeof running) == sizeof running) on_news_of_workers();
    const auto now = Clock::now();
    retire_overdue(now);
    restart_due(now);
    kill_overdue(now);
    watch(now);
    feed_.kill_overdue(now);
    open_metrics_due(now);
    if (feed_.is_read()) settle_feed();
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
  answer_statuses();
  answer_drains();
  end_feed();
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
  const size_t metrics = fds.size();
  if (metrics_) metrics_->add_polls(fds);
  poll(fds.data(), fds.size(), next_timeout(Clock::now()));
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (fds[formers + i].revents != 0) on_former_exit(queues_[i]);
  }
  if (control_) control_->serve(std::span(fds).subspan(clients, metrics - clients));
  if (metrics_) metrics_->serve(std::span(fds).subspan(metrics));
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

// The pages say which.
void Supervisor::on_news_of_workers() {
  for (Queue& queue : queues_) {
    const bool prepared =
        queue.shared().prepared.load(std::memory_order_acquire) == queue.successor.pid;
    if (queue.preparing && prepared) retire(queue);
  }
  const bool all_run = std::ranges::all_of(queues_, [](const Queue& queue) {
    return queue.worker.pid > 0 &&
           queue.shared().running.load(std::memory_order_acquire) == queue.worker.pid;
  });
  if (phase_ != Phase::kStarting || !all_run) return;
  phase_ = Phase::kRunning;
  if (const auto entered = enter_steering(); !entered) {
    spdlog::error("--steer: {}", entered.error().message);
    exit_status_ = static_cast<int>(entered.error().code);
    return start_stop();
  }
  if (options_.takeover) (void)open_control();  // says itself what is wrong
  spdlog::info("ready: {}", what_runs());
  service_.ready(what_runs());
  begin_feed();
  if (std::exchange(reload_again_, false)) start_reload();
}

std::string Supervisor::what_runs() const {
  const size_t rules = program_->rule_names().size();
  return fmt::format("{}, {} worker{}, {} rule{}{}", queue_range(), queues_.size(),
                     queues_.size() == 1 ? "" : "s", rules, rules == 1 ? "" : "s",
                     options_.shadow ? "; SHADOW, every packet passes as it came" : "");
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
  if (auto tried = try_steering(program->steering); !tried) {
    return refuse_reload({tried.error().code, "--steer: " + tried.error().message});
  }
  auto captures = CaptureFiles::open(program->program->needs().captures);
  if (!captures) return refuse_reload(captures.error());
  service_.reloading();
  next_program_ = std::move(program->program);
  next_steering_ = std::move(program->steering);
  next_captures_ = std::move(*captures);
  warn_of_short_copies(*next_program_);
  phase_ = Phase::kReloading;
  deadline_ = Clock::now() + options_.drain_time + kGrace;
  for (Queue& queue : queues_) {
    queue.next = settings_for(queue.settings.queue, *next_program_);
    queue.shared().next = queue.next;
    prepare_succession(queue, fork_worker(queue, *next_program_, queue.next));
  }
  finish_reload();
}

void Supervisor::finish_reload() {
  const bool waiting = std::ranges::any_of(
      queues_, [](const Queue& queue) { return queue.preparing || queue.told == Order::kRetire; });
  if (phase_ != Phase::kReloading || waiting) return;
  program_ = std::move(next_program_);
  steering_ = std::move(next_steering_);
  captures_ = std::exchange(next_captures_, {});
  ++program_number_;
  phase_ = Phase::kRunning;
  if (const auto entered = enter_steering(); !entered) {
    spdlog::error("steering: {}; the firewall queues by the former rules", entered.error().message);
  }
  adopt_reload();
  service_.ready(what_runs());
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
  feed_.ask(own_rows());
  if (!keeps_queues_) leave_steering();
  deadline_ = Clock::now() + options_.drain_time + kGrace;
  for (Queue& queue : queues_) {
    queue.preparing = false;
    if (!is_ours(queue)) continue;
    queue.tell(keeps_queues_ ? Order::kRetire : Order::kDrain);
    if (queue.successor.pid > 0) kill(queue.successor.pid, SIGKILL);
    if (queue.worker.pid > 0) kill(queue.worker.pid, SIGUSR1);
  }
}

void Supervisor::kill_overdue(Clock::time_point now) {
  if (phase_ == Phase::kRunning || now < deadline_) return;
  for (Queue& queue : queues_) {
    if (queue.former) pidfd_send_signal(queue.former.get(), SIGKILL, nullptr, 0);
    if (!is_ours(queue)) continue;
    const bool told = queue.told != Order::kRun;
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
  if (metrics_) next = std::min(next, metrics_->deadline().value_or(next));
  if (!metrics_ && metrics_again_ > now) next = std::min(next, metrics_again_);
  if (phase_ != Phase::kRunning) next = std::min(next, deadline_);
  next = std::min(next, feed_.deadline().value_or(next));
  for (const Queue& queue : queues_) {
    if (queue.worker.pid < 0 && phase_ != Phase::kStopping) next = std::min(next, queue.restart_at);
    if (queue.preparing) next = std::min(next, queue.retire_at);
  }
  if (options_.watchdog.count() > 0) {
    next = std::min<Clock::time_point>(next, now + options_.watchdog / 4);
  }
  if (service_.watchdog().count() > 0) next = std::min(next, next_beat_);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000));
}

}  // namespace fettle
