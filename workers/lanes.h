// Several threads of one worker for rules that cost more than handing packets over does. A batch is
// dealt to lanes by flow; a lane's packets are done in their order by one thread. While the lanes
// of one batch run, the loop receives the next and gives the verdicts of the one before, in the
// order of ids. Whether that is worth it is measured as it goes: cheap rules run on the loop's own
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "workers/batch.h"

namespace fettle {

class Lanes {
 public:
  // One thread a state, states.front() is the caller's own; thread i runs on cpus[i % size]. At
  // most `batch` packets come at a time. `shadows`: one a state, or none. Its threads would not
  // outlive a fork: make it after.
  Lanes(const Program& program, std::span<ProgramState> states, std::span<const int> cpus,
        size_t batch, std::span<PacketShadow> shadows = {});
  ~Lanes();

  // Whether so many packets cost more than sharing them out does.
  bool worth_sharing(size_t packets) const;
  // Prepared packets; done when it returns.
  void run_here(std::span<InHand* const> hands);
  // Prepared packets, which must stay where they are until wait() returns; the caller helps there.
  // Not while others are under way.
  void start(std::span<InHand* const> hands);
  void wait();

 private:
  struct Pool;

  void apply(std::span<InHand* const> hands, size_t thread);
  void run_lane(size_t lane);
  void learn(double nanoseconds, size_t packets);

  const Program& program_;
  std::span<ProgramState> states_;
  std::span<PacketShadow> shadows_;
  std::vector<int> cpus_;
  double packet_ns_ = 0;  // what a packet costs, smoothed
  size_t under_way_ = 0;
  std::vector<std::vector<InHand*>> lanes_;
  std::vector<double> lane_ns_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace fettle
