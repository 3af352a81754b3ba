// The packet loop's part that keeps packets back until their time has come.
#include "workers/packet_holding.h"

#include <poll.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "core/counters.h"
#include "workers/clock.h"
#include "workers/packet_loop.h"

namespace fettle {
namespace {

constexpr uint64_t kLongestSleep = 100'000'000;  // ns; a lost wake-up costs this much
constexpr uint64_t kWhileBehind = 1'000'000;     // ns between two looks
constexpr uint32_t kMostSmall = 4096;
constexpr uint32_t kMostLarge = 128;
constexpr uint32_t kMostSegments = 512;

}  // namespace

HeldPackets::Size room_for_held(const Program& program, const WorkerOptions& options) {
  if (!program.needs().holds) return {};
  // Segments wait for their neighbours alone; what is delayed may be all that there is.
  const uint32_t length = options.settings.length;
  const bool impairs = program.needs().impairs;
  const uint32_t packets = impairs ? length : std::min(length, kMostSegments);
  const bool changes = program.needs().changes;
  return {.packets = packets,
          .small = changes ? std::min(packets, kMostSmall) : 0,
          .large = changes ? std::min(packets, kMostLarge) : 0};
}

size_t slots_size(const WorkerOptions& options) {
  return Inbox::bytes(options.batch) * (options.cpus.size() > 1 ? 2 : 1);
}

size_t held_size(const Program& program, const WorkerOptions& options) {
  return program.needs().holds ? HeldPackets::bytes(room_for_held(program, options)) : 0;
}

uint64_t random_seed() noexcept {
  uint64_t seed = steady_now();  // where there are no random numbers yet
  [[maybe_unused]] const ssize_t got = getrandom(&seed, sizeof seed, GRND_NONBLOCK);
  return seed;
}

// A wait in recvmmsg would go on when the next packet's time has come.
int PacketLoop::receive_until_due() {
  const int received = filling_->receive(fd_, false);
  if (received >= 0 || errno != EAGAIN) return received;
  const uint64_t now = steady_now();
  const uint64_t due = held_->next_deadline();
  const uint64_t left = std::min(due - std::min(due, now), kLongestSleep);
  const timespec timeout{.tv_sec = 0, .tv_nsec = static_cast<long>(left)};
  pollfd readable{.fd = fd_, .events = POLLIN, .revents = 0};
  const int ready = ppoll(&readable, 1, &timeout, nullptr);
  if (ready > 0) return filling_->receive(fd_, false);
  if (ready == 0) errno = EAGAIN;
  return -1;
}

void PacketLoop::tell_time() {
  if (!program_->needs().impairs) return;
  const uint64_t now = steady_now();
  for (ProgramState& state : states_) state.impairments.now = now;
}

void PacketLoop::hold_or_answer(std::span<InHand* const> hands) {
  // Not the time that the steps were told: verdicts are given in the order of ids, and times that
  // follow that order let packets of equal delay keep it.
  const uint64_t now = steady_now();
  for (InHand* hand : hands) {
    if (hand->outcome.stream) {
      take_segment(*hand, now);
    } else if (!hold(*hand, now)) {
      answer(*hand);
    }
  }
}

bool PacketLoop::hold(InHand& hand, uint64_t now) {
  const Outcome& outcome = hand.outcome;
  if (outcome.delay == 0 || outcome.verdict == Verdict::kDrop) return false;
  if (shadow()) {
    bump(counters_->held);
    return false;
  }
  const size_t room = outcome.changed ? 1 : 0;
  if (!held_->hold(hand, room, now + outcome.delay, HeldPackets::kNoTag)) {
    bump(counters_->not_held);
    return false;
  }
  enter(hand, Stage::kEmpty);  // its other self has the verdict to come
  bump(counters_->held);
  replies_.keep_apart(true);
  return true;
}

void PacketLoop::release_after(size_t received) {
  const uint64_t now = steady_now();
  if (received < filling_->capacity()) {
    behind_since_ = 0;
  } else if (behind_since_ == 0) {
    behind_since_ = now;
  }
  release(now);
}

// Gives those their verdicts whose time has come by `until`. False: there were none.
bool PacketLoop::release(uint64_t until) {
  HeldPacket* held = held_->due(until);
  if (!held) return false;
  const uint64_t now = steady_now();
  for (; held; held = held_->due(until)) {
    if (held->tag != HeldPackets::kNoTag) {
      if (until != HeldPackets::kNever && is_behind(now)) {
        held_->postpone(*held, now + kWhileBehind);
      } else {
        end_wait(*held, now);
      }
      continue;
    }
    held_->take(*held);
    enter(held->hand, Stage::kDecided);
    answer(held->hand);
  }
  reply();
  recycle_held();
  return true;
}

// After reply(): what was taken out of those held keeps its room until its verdict is sent.
void PacketLoop::recycle_held() {
  if (broken_errno_ != 0) return;  // they have no verdict
  held_->recycle();
  if (!held_->empty()) return;
  replies_.keep_apart(false);
  if (orphans_) release_orphans(*orphans_, orphans_verdict_);
}

}  // namespace fettle
