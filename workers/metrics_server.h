// Metrics for Prometheus, as the supervisor serves them: a child process talks to the network, and
// asks the supervisor for a page when somebody wants one.
//
//   HTTP clients ──► child (http_server.h) ── one byte ──► supervisor
//                          ◄── length, page ──
//
// The child is unprivileged and sandboxed (Sandbox::enter_server), and has nothing but the
// listening socket, its clients and the end of a socket pair: what comes from the network meets no
// process that owns a queue. The supervisor reads no more of the child than that it has asked,
// writes without blocking, and makes pages for a tenth of its time at most. A child that dies is
// replaced; meanwhile the kernel keeps those who connect.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/descriptor.h"
#include "workers/metrics_address.h"
#include "workers/sandbox.h"

namespace fettle {

class MetricsServer {
 public:
  using Clock = std::chrono::steady_clock;

  // `make`: the page; empty: there is none. `shed`: in the child, lets go of all that is not its.
  MetricsServer(Descriptor listening, std::function<std::string()> make, std::function<void()> shed,
                const Sandbox& sandbox);
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  ~MetricsServer();  // ends the child

  // Where there is no child, and it is time for one.
  void start_due(Clock::time_point now);
  void add_polls(std::vector<pollfd>& out) const;
  std::optional<Clock::time_point> deadline() const;
  // After poll(2), with those that add_polls() added.
  void serve(std::span<const pollfd> polled);
  // A process has ended: whether it was the child.
  bool on_exit(pid_t pid, int wait_status);
  // In another child process: leaves the port and the child to the parent.
  void forget();

 private:
  void answer(Clock::time_point now);
  void send_rest();

  Descriptor listening_;
  std::function<std::string()> make_;
  std::function<void()> shed_;
  const Sandbox& sandbox_;
  Descriptor channel_;
  pid_t pid_ = -1;
  bool asked_ = false;
  std::string text_;  // being sent
  size_t sent_ = 0;
  Clock::time_point not_before_{};  // the next page
  Clock::time_point start_at_{};    // the next child
};

// The child, until the supervisor is gone. Returns an exit status.
int serve_metrics(int listening, int channel);

}  // namespace fettle
