// Keeps a FeedAccount (feed.h) while a supervisor runs: reads the firewall beside its poll loop,
// and leaves what it knows to the next run in a file.
//
//   ask() ──► the tools run, one after the other ──► is_read() ──► settle()
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/nfqueue.h"
#include "workers/feed.h"
#include "workers/firewall_source.h"
#include "workers/run_status.h"
#include "workers/run_tool.h"

namespace fettle {

class FeedWatch {
 public:
  using Clock = std::chrono::steady_clock;

  FeedWatch(uint16_t first_queue, uint16_t last_queue);
  FeedWatch(const FeedWatch&) = delete;
  FeedWatch& operator=(const FeedWatch&) = delete;
  ~FeedWatch();

  // How the queues were before this run.
  enum class Before : uint8_t { kClosed, kBound, kMixed };
  // Goes on from what `path` has, if it fits: from queues that run all the time, or from the end of
  // the run before. What is learned is written there; "" keeps nothing.
  void begin(std::string path, Before before, std::span<const QueueStatus> queues);

  // Nothing where it is being read already. Here and below, rows of other queues count for nothing.
  void ask(std::span<const QueueStatus> queues);
  bool is_fresh(Clock::time_point now) const;
  // A process has ended: whether it was one of these.
  bool on_exit(pid_t pid, int wait_status);
  // Once for each ask(): the rules, or why not, are there; settle() is to come.
  bool is_read() const { return read_; }
  std::optional<Clock::time_point> deadline() const;
  void kill_overdue(Clock::time_point now);

  // At least once an hour: the kernel's counts wrap.
  void look(std::span<const QueueStatus> queues);
  FeedFound settle(std::span<const QueueStatus> queues);

  // The queues are closed and will not be bound again. Waits for the tools.
  void end();
  // In a child process: leaves the tools alone.
  void forget() { tool_.reset(); }

  std::optional<FeedReport> report() const;

 private:
  void begin_reading();
  void start_next();
  void stop_tool();
  void take(const ToolOutput& said);
  void write_record(const Feed& feed, bool ended) const;

  uint16_t first_queue_;
  uint16_t last_queue_;
  std::string path_;
  std::vector<FirewallSource> sources_;  // still to be read
  std::optional<RunningTool> tool_;      // reads sources_.front()
  Clock::time_point overdue_{};
  Firewall firewall_;  // so far
  std::string error_, last_error_;
  bool read_ = false;
  std::map<uint16_t, QueueIntake> intake_;
  uint64_t taken_ = 0;   // since the last settle()
  uint64_t before_ = 0;  // of these, when the last reading began
  FeedAccount account_;
  std::optional<Clock::time_point> settled_;
};

}  // namespace fettle
