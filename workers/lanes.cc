#include "workers/lanes.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include "core/flow_hash.h"
#include "workers/packet_shadow.h"
#include "workers/thread_order.h"

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;

// Waking another thread and waiting for it costs some microseconds; below this the loop's own
// thread has done the batch before the help is there.
constexpr double kWorthSharing = 25'000;  // ns
constexpr size_t kLanesPerThread = 4;     // flows are of unequal weight
constexpr double kSmoothing = 1.0 / 16;
// One preemption in the middle of a batch says nothing of the rules.
constexpr double kLargestJump = 4;
constexpr double kLeastJump = 1000;  // ns

double since(Clock::time_point begin) {
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
}

// Puts a helping thread on its CPU, and keeps the process's signals for the loop's thread, whose
// wait they are to end. Not a task_scheduler_observer's: TBB 2021.8 leaks what it keeps of one.
void place_helper(int cpu) {
  static thread_local bool placed = false;
  if (std::exchange(placed, true)) return;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

struct Lanes::Pool {
  // The worker's own CPUs are all that TBB would count with, and the loop's thread has but one.
  explicit Pool(size_t threads)
      : control(tbb::global_control::max_allowed_parallelism, threads),
        arena(static_cast<int>(threads)) {}
  tbb::global_control control;
  tbb::task_arena arena;
  tbb::task_group group;
};

Lanes::Lanes(const Program& program, std::span<ProgramState> states, std::span<const int> cpus,
             size_t batch, std::span<PacketShadow> shadows)
    : program_(program),
      states_(states),
      shadows_(shadows),
      cpus_(cpus.begin(), cpus.end()),
      lanes_(states.size() * kLanesPerThread),
      lane_ns_(lanes_.size()),
      pool_(std::make_unique<Pool>(states.size())) {
  for (auto& lane : lanes_) lane.reserve(batch);
  // oneTBB looks for libraries of its own at the first task, which is too late in a sandbox.
  pool_->arena.execute([] {});
}

Lanes::~Lanes() = default;

bool Lanes::worth_sharing(size_t packets) const {
  return packet_ns_ * static_cast<double>(packets) >= kWorthSharing;
}

void Lanes::apply(std::span<InHand* const> hands, size_t thread) {
  apply_all(program_, hands, states_[thread], shadows_.empty() ? nullptr : &shadows_[thread]);
}

void Lanes::run_here(std::span<InHand* const> hands) {
  if (hands.empty()) return;
  const auto begin = Clock::now();
  apply(hands, 0);
  learn(since(begin), hands.size());
}

void Lanes::start(std::span<InHand* const> hands) {
  under_way_ = hands.size();
  for (InHand* hand : hands) lanes_[flow_hash(hand->packet) % lanes_.size()].push_back(hand);
  hand_over(&lanes_);
  pool_->arena.execute([this] {
    for (size_t lane = 0; lane < lanes_.size(); ++lane) {
      if (!lanes_[lane].empty()) pool_->group.run([this, lane] { run_lane(lane); });
    }
  });
}

void Lanes::run_lane(size_t lane) {
  take_over(&lanes_);
  const auto begin = Clock::now();
  const auto thread = static_cast<size_t>(tbb::this_task_arena::current_thread_index());
  if (thread > 0) place_helper(cpus_[thread % cpus_.size()]);
  apply(lanes_[lane], thread);
  lane_ns_[lane] = since(begin);
  hand_over(&lane_ns_);  // another address: lanes are in no order among themselves
}

void Lanes::wait() {
  pool_->arena.execute([this] { pool_->group.wait(); });
  take_over(&lane_ns_);
  learn(std::accumulate(lane_ns_.begin(), lane_ns_.end(), 0.0), under_way_);
  for (auto& lane : lanes_) lane.clear();
  std::ranges::fill(lane_ns_, 0.0);
  under_way_ = 0;
}

void Lanes::learn(double nanoseconds, size_t packets) {
  const double seen = nanoseconds / static_cast<double>(packets);
  const double believed = std::min(seen, packet_ns_ * kLargestJump + kLeastJump);
  packet_ns_ += (believed - packet_ns_) * kSmoothing;
}

}  // namespace fettle
