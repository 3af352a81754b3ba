// Steps that treat packets as a bad network does, as tc-netem and tc-tbf do in the kernel: delay,
// lose, reorder, rate, corrupt. A step only notes how long the packet is to wait (Outcome::delay);
// who gives the verdicts keeps it so long.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "core/packet.h"

namespace fettle {

// One step, compiled. Times are nanoseconds.
struct Impairment {
  enum class Kind : uint8_t { kLose, kDelay, kRate, kCorrupt };
  Kind kind{};
  uint32_t chance = UINT32_MAX;  // concerns the packets whose random number is not above it
  uint32_t clock = 0;            // kRate: which of ImpairmentState::clocks
  uint64_t delay = 0;            // kDelay
  uint64_t jitter = 0;           // kDelay: so much more or less, <= delay
  uint64_t rate = 0;             // kRate: bits a second
  uint64_t latency = 0;          // kRate: who would have to wait longer is dropped
};

// Impairment::chance, and that of the match key `probability`.
uint32_t chance_of(double percent) noexcept;

// What the steps of one caller of Program::apply() remember.
struct ImpairmentState {
  uint64_t now = 0;     // of any clock that does not go back
  uint64_t random = 0;  // the seed; the same one gives the same numbers again
  // For each rate step, until when its line is busy; Needs::clocks of them. Threads that share a
  // line share its clock.
  std::span<std::atomic<uint64_t>> clocks{};
};

// Adds to *delay. False: the packet is lost.
bool impair(const Impairment& step, const Packet& packet, ImpairmentState& state,
            uint64_t* delay) noexcept;

}  // namespace fettle
