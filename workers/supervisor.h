// The supervisor: owns the queues' sockets, keeps one worker process on each, restarts the dead,
// replaces them at a reload, ends them in order. Reads no packet. One thread, one poll loop.
//
// A queue's worker:   starting ──► running ──► retiring ──► (its successor runs)
//                                     │  died
//                                     ▼
//                                 backing off ──► starting
//
// A reload forks a successor with the new program for each queue; it prepares and waits. Then the
// predecessor is told to retire, and when it has gone the successor begins: no batch sees two
// programs, and the queue waits for the length of one wake-up.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/descriptor.h"
#include "core/nfqueue.h"
#include "core/result.h"
#include "core/shared_memory.h"
#include "rules/program.h"
#include "workers/capture_files.h"
#include "workers/control_server.h"
#include "workers/estate.h"
#include "workers/feed_watch.h"
#include "workers/heritage.h"
#include "workers/metrics_server.h"
#include "workers/run_status.h"
#include "workers/sandbox.h"
#include "workers/service.h"
#include "workers/steering_apply.h"

namespace fettle {

struct RunOptions {
  std::string rules;
  uint16_t first_queue = 0;
  uint16_t last_queue = 0;
  std::vector<int> cpus;  // worker i takes `threads` of them from cpus[i * threads % size] on
  uint32_t threads = 1;
  bool busy_poll = false;
  uint32_t batch = 64;
  size_t receive_buffer = 64 << 20;  // as read back
  uint32_t queue_length = 4096;
  uint32_t overload_length = 512;
  uint32_t streams = 1 << 16;     // TCP connections of a queue that rules may edit at a time
  uint32_t stream_wait = 40;      // milliseconds (core/stream.h, StreamLimits::tail_wait)
  std::optional<bool> fail_open;  // nothing: what the rules say, and else true
  bool gso = true;
  bool self_test = true;               // a packet through each queue before real ones come
  bool conntrack = true;               // where rules edit TCP streams, and the kernel offers it
  std::optional<uint32_t> copy_range;  // nothing: what the rules need
  Verdict on_crash = Verdict::kAccept;
  std::string quarantine = "/var/lib/fettle/quarantine";  // for what killed workers
  std::chrono::milliseconds watchdog{2000};               // without a sign of life; 0: for ever
  std::chrono::milliseconds drain_time{1000};
  bool takeover = false;  // from the fettle that listens at `control`
  enum class OnStop : uint8_t { kAuto, kDrain, kKeep };
  OnStop on_stop = OnStop::kAuto;         // kKeep: the queues stay, in the service manager's store
  std::optional<std::string> control;     // nothing: kControlPath, if it can be had
  std::optional<MetricsAddress> metrics;  // nothing: none are served
  struct Steer {                          // see steering_apply.h
    SteeringTool tool = SteeringTool::kNft;
    SteeringWish wish;
    std::string name = "fettle";
  };
  std::optional<Steer> steer;  // the firewall's rules come when the queues are read, and go before
                               // they are drained
  bool shadow = false;         // nothing is changed: all packets are accepted as they came
  std::string user;            // of the workers; empty: Sandbox's default
  bool sandbox = true;
};

class Supervisor {
 public:
  // Loads the rules, opens, configures and binds every queue.
  static Result<std::unique_ptr<Supervisor>> create(RunOptions options);
  ~Supervisor();

  // Until SIGTERM or SIGINT, or until nothing works any more. Returns an exit status.
  int run();

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kReportInterval{1};  // between looks at the losses
  static constexpr std::chrono::seconds kGrace{2};           // beyond the drain time, then SIGKILL

  struct Child {
    pid_t pid = -1;
    int start_fd = -1;  // write end: see Heritage::start_fd
    // RuleCounters of its program, which a restart goes on with: those of all rules, once for each
    // thread, and once more what the rules of these names counted in programs before (supervisor).
    SharedMemory rules;
    const Program* program = nullptr;
  };
  struct Queue {
    QueueSettings settings;  // in force
    QueueSettings next;      // of the successor
    QueueSocket socket;
    std::vector<int> cpus;
    SharedMemory page;     // WorkerPage
    SharedMemory streams;  // StreamTable, from the first program on that edits any
    SharedMemory slots;    // of inboxes
    SharedMemory held;     // HeldPackets, where the newest program holds any
    Child worker;
    Child successor;                // standing by, during a reload or a takeover
    bool adopted = false;           // from another supervisor
    Descriptor former;              // pidfd of its worker
    SharedMemory former_page;       // where it is of another layout
    bool preparing = false;         // the successor is; then the worker is told to retire
    Clock::time_point retire_at{};  // in any case
    std::array<int, kParts> stored{-1, -1, -1, -1, -1, -1};  // what the store has of it
    pid_t last_worker = -1;                                  // the last one that was started here
    Clock::time_point began{};
    Clock::time_point restart_at{};  // while worker.pid < 0
    std::chrono::milliseconds back_off{0};
    uint32_t restarts = 0;
    uint32_t in_a_row = 0;  // deaths of workers that had done next to nothing
    uint64_t quarantined = 0;
    uint64_t packets_before = 0;  // LoopCounters::packets when the worker began
    uint64_t pulse = 0;           // at beat_at, when it was another one
    Clock::time_point beat_at{};
    bool stuck = false;         // killed for it
    Clock::time_point ended{};  // the worker that ended last, how, and when
    std::string last_end{};
    int64_t last_end_at = 0;  // seconds since 1970
    QueueStatus seen{};       // for what was lost since
    uint64_t seen_socket_drops = 0;
    uint64_t seen_overloads = 0;
    uint64_t seen_untracked = 0;
    uint64_t full_looks = 0;   // that found the queue full, where that is open
    uint64_t left = 0;         // packets at the end
    Order told = Order::kRun;  // what the page says of both is the worker's to change
    bool overloaded = false;   // at some look since the last line about losses
    Clock::time_point quiet_until{};
    WorkerPage& shared() const { return *page.as<WorkerPage>(); }
    void tell(Order order) {
      told = order;
      shared().order.store(order, std::memory_order_release);
    }
    // Its socket, and what it shares with its workers, in a process that is to have none of it.
    void let_go() { const Queue gone = std::exchange(*this, Queue{}); }
  };
  struct Evidence {  // a packet that was in hand when a worker died
    uint32_t id = 0;
    std::vector<std::byte> bytes;
  };
  enum class Phase : uint8_t { kStarting, kRunning, kReloading, kStopping };

  explicit Supervisor(RunOptions options);
  Result<void> open_queue(uint16_t number);
  Result<void> test_queues() const;
  Result<void> watch_signals();
  bool fails_open(const Program& program) const;
  Result<void> prepare_sandbox();
  QueueSettings settings_for(uint16_t queue, const Program& program) const;
  void warn_of_short_copies(const Program& program) const;

  Result<void> make_streams(Queue& queue, const Program& program) const;
  Result<void> make_room(Queue& queue, const Program& program) const;
  WorkerOptions worker_options(const Queue& queue, const QueueSettings& settings) const;
  // Takes the counters where it succeeds.
  Result<Child> fork_worker(Queue& queue, const Program& program, const QueueSettings& settings,
                            SharedMemory&& counters = {});
  size_t counters_size(const Program& program) const;
  [[noreturn]] void become_worker(Queue& queue, const Program& program,
                                  const QueueSettings& settings, const Child& child, int start_fd);
  const Program& newest_program() const { return next_program_ ? *next_program_ : *program_; }
  void start_worker(Queue& queue, char how);
  void hand_queue_to_worker(Queue& queue, char how);
  static void begin(Child& child, char how);
  void reap();
  void on_exit(Queue& queue, int status);
  void on_death_at_the_end(Queue& queue, int status);
  void on_death(Queue& queue, int status);
  std::chrono::milliseconds back_off_after_death(Queue& queue, Clock::time_point now);
  void begin_watch(Queue& queue);
  void watch(Clock::time_point now);
  std::vector<Evidence> evidence_of(const Queue& queue) const;
  void keep(Queue& queue, std::span<const Evidence> evidence);
  void adopt_successor(Queue& queue, char how);
  void restart_due(Clock::time_point now);
  void on_signal(int signal);
  void on_news_of_workers();
  void prepare_succession(Queue& queue, Result<Child> successor);
  void retire(Queue& queue);
  void retire_overdue(Clock::time_point now);
  void start_reload();
  void finish_reload();
  void start_stop();
  void kill_overdue(Clock::time_point now);
  void wait_for_events();

  uint64_t fingerprint(const Program& program) const;
  static Result<std::vector<Estate>> ask_for_estates(const std::string& path);
  Result<void> find_estates();
  std::optional<Estate> take_estate(uint16_t queue);
  Result<void> adopt_queue(Queue& queue, Estate estate);
  bool continues(const SharedMemory& page) const;
  Result<void> bind_queue(Queue& queue);
  void say_settings(const Queue& queue) const;
  static PageHead& former_head(Queue& queue);
  void succeed(Queue& queue);
  void release_left_over(Estate estate);
  static std::array<int, kParts> parts_of(const Queue& queue);
  void store(Queue& queue);
  void on_former_exit(Queue& queue);
  bool is_ours(const Queue& queue) const;
  Result<void> hand_over(int connection);
  bool handed_over();
  bool stopped() const;
  void report_losses(Clock::time_point now);
  void report_loss(Queue& queue, const QueueStatus& row, Clock::time_point now);
  bool report_untracked(Queue& queue);
  // supervisor_steer.cc
  SteeringTarget steering_target(const SteeringPlan& plan) const;
  Result<void> try_steering(const SteeringPlan& plan) const;
  Result<void> enter_steering();
  void leave_steering();
  void release_rest(Queue& queue);
  int next_timeout(Clock::time_point now) const;
  std::string what_runs() const;
  bool accepts_orphans() const;

  // supervisor_control.cc
  Result<void> open_control();
  std::string control_path() const;
  void answer_takeover(ControlServer::ClientId client, const Peer& peer);
  void on_request(ControlServer::ClientId client, ControlCommand command, const Peer& peer);
  void ask_for_reload();
  void refuse_reload(const Error& error);
  void adopt_reload();
  void answer_reload(const std::string& answer);
  void cancel_reloads();
  void answer_drains();
  // supervisor_feed.cc
  std::vector<QueueStatus> own_rows() const;
  void begin_feed();
  void ask_for_feed(Clock::time_point now);
  void settle_feed();
  void answer_statuses();
  void end_feed();
  // supervisor_metrics.cc
  Result<void> open_metrics();
  void open_metrics_due(Clock::time_point now);
  void shed();
  std::string metrics_page();
  void carry_rules(const Child& former, const Child& worker) const;
  std::vector<RuleReport> rules_by_name() const;
  // supervisor_status.cc
  enum class Rules : uint8_t { kEach, kNumber };
  RunStatus status(Rules rules = Rules::kEach) const;
  QueueReport queue_report(const Queue& queue, const std::vector<QueueStatus>& kernel) const;
  std::vector<RuleReport> rule_reports() const;
  std::string worker_state(const Queue& queue) const;
  std::string queue_range() const;

  std::unique_ptr<ControlServer> control_;  // none where its place cannot be had; closes last
  std::unique_ptr<MetricsServer> metrics_;
  Clock::time_point metrics_again_{};  // where the port was taken, in a takeover
  RunOptions options_;
  Sandbox sandbox_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<Program> next_program_;  // during a reload
  SteeringPlan steering_, next_steering_;  // theirs, where the firewall is steered
  uint64_t program_number_ = 1;            // of program_; the next one's is greater by 1
  CaptureFiles captures_, next_captures_;  // of the two
  std::vector<Queue> queues_;
  std::vector<Estate> estates_;  // that no queue is made of yet
  Service service_;
  bool hands_over_ = false;    // somebody was given the queues' descriptors
  bool keeps_queues_ = false;  // while it stops: they are not drained
  Clock::time_point next_beat_{};
  Phase phase_ = Phase::kStarting;
  bool reload_again_ = false;
  std::string load_warnings_;  // of the rules read last
  int64_t loaded_at_ = 0;      // the rules in force, in seconds since 1970
  std::optional<ReloadReport> last_reload_;
  // Who waits: for the reload under way, for the one after it, for the end, for the firewall.
  std::vector<ControlServer::ClientId> reload_clients_, next_reload_clients_, drain_clients_,
      status_clients_;
  FeedWatch feed_;
  uint64_t unqueued_ = 0;  // that no line has told of
  Clock::time_point feed_asked_{}, feed_told_{};
  const Clock::time_point began_ = Clock::now();
  const int64_t started_at_ = time(nullptr);
  Clock::time_point deadline_{};  // of the reload or stop under way
  Clock::time_point next_report_{};
  int signal_fd_ = -1;
  int running_fd_ = -1;
  int exit_status_ = 0;
};

}  // namespace fettle
