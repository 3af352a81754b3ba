// Several threads of one worker for rules that cost more than handing packets over does. A batch is
// dealt to lanes by flow; a lane's packets are done in their order by one thread, and the loop
// gives the verdicts, in the order of ids, when all lanes are done. Rules that cost little run on
// the loop's own thread: what a packet costs is measured as it goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "workers/batch.h"

namespace fettle {

class Lanes {
 public:
  // One thread a state, states.front() is the caller's own; thread i runs on cpus[i % size]. At
  // most `batch` packets come at a time. Threads are made when they are first needed, never in the
  // process that forks: make a Lanes after fork().
  Lanes(const Program& program, std::span<ProgramState> states, std::span<const int> cpus,
        size_t batch);
  ~Lanes();

  // Prepared packets, in the order of their ids; returns when all are done.
  void apply(std::span<InHand* const> hands);

 private:
  struct Pool;
  using Clock = std::chrono::steady_clock;

  void run_inline(std::span<InHand* const> hands);
  void run_lanes(std::span<InHand* const> hands);
  void learn(double nanoseconds, size_t packets);

  const Program& program_;
  std::span<ProgramState> states_;
  double packet_ns_ = 0;  // what a packet costs, smoothed
  std::vector<std::vector<InHand*>> lanes_;
  std::vector<double> lane_ns_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace fettle
