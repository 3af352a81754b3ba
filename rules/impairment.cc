#include "rules/impairment.h"

#include <algorithm>
#include <cmath>

#include "core/corrupt.h"
#include "core/hash.h"
#include "rules/steps.h"

namespace fettle {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// SplitMix64's sequence (Steele, Lea, Flood 2014), with another finalizer.
uint64_t next_random(ImpairmentState& state) { return mix(state.random += 0x9e3779b97f4a7c15); }

// Below `end` > 0.
uint64_t random_below(ImpairmentState& state, uint64_t end) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{next_random(state)} * end >> 64);
}

bool concerned(const Impairment& step, ImpairmentState& state) {
  return next_random(state) >> 32 <= step.chance;
}

// The line is busy with one packet after another, each from when it came or the one before it was
// through. False: it would have to wait too long.
bool send(const Impairment& step, uint64_t bytes, ImpairmentState& state, uint64_t* delay) {
  const uint64_t takes = bytes * 8 * kSecond / step.rate;
  std::atomic<uint64_t>& clock = state.clocks[step.clock];
  uint64_t busy_until = clock.load(std::memory_order_relaxed);
  uint64_t end = 0;
  do {
    const uint64_t begin = std::max(busy_until, state.now);
    if (begin - state.now > step.latency) return false;
    end = begin + takes;
  } while (!clock.compare_exchange_weak(busy_until, end, std::memory_order_relaxed));
  *delay += end - state.now;
  return true;
}

}  // namespace

uint32_t chance_of(double percent) noexcept {
  const double of_2_32 = std::round(percent / 100 * 0x1p32);
  return static_cast<uint32_t>(std::clamp(of_2_32 - 1, 0.0, 0x1p32 - 1));
}

bool impair(const Impairment& step, const Packet& packet, ImpairmentState& state,
            uint64_t* delay) noexcept {
  if (step.kind == Impairment::Kind::kRate) return send(step, packet.length, state, delay);
  if (step.chance != UINT32_MAX && !concerned(step, state)) return true;
  if (step.kind == Impairment::Kind::kLose) return false;
  *delay += step.delay - step.jitter;
  if (step.jitter > 0) *delay += random_below(state, 2 * step.jitter + 1);
  return true;
}

Edit corrupt(const Impairment& step, Packet& packet, ImpairmentState& state) noexcept {
  if (!concerned(step, state)) return Edit::kDone;
  const uint32_t end = std::min(packet.size, packet.transport_end);
  if (packet.transport == 0 || packet.payload >= end) return Edit::kMiss;
  const uint64_t bit = random_below(state, uint64_t{end - packet.payload} * 8);
  return flip_bit(packet, packet.payload + static_cast<uint32_t>(bit / 8),
                  static_cast<unsigned>(bit % 8));
}

}  // namespace fettle
